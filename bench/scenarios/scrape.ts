import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { median } from '../median.ts';
import { type Peer, RunningPeer } from '../peer.ts';
import { type HandlerName, orderlane } from '../peers/orderlane.ts';
import { mainThreadMs, usageOf } from '../process-tree.ts';
import { type Figure, type Measured, type Run, type Scenario } from '../scenario.ts';
import { onStage } from '../stage.ts';
import { atMost } from '../summary.ts';
import { within } from '../trial.ts';

const LANES = 100_000;
/** Orders for merchants drawn at random from so many: a little more than `LANES` of them get one, and few get two. */
const ORDERS = 106_000;
const MERCHANTS = 1_000_000;
const IDLE = 'lanes with nothing to do';
const OUT = 'lanes with orders on the ladder';
const METRICS = '/metrics';
const PAGE = '/lanes?limit=1000';
const BLOCK = 10;
const BLOCKS = 20;
const WARMUPS = 5;
const PAUSE_MS = 20;
const POLL_MS = 100;
/** What the last orders leave behind: confirms, garbage. */
const QUIET_MS = 3_000;

const cost: Figure = { name: 'main thread, a request', unit: ' ms', digits: 2, of: (run) => run.cpuMs / run.orders };
const answer: Figure = { name: 'answered in, at worst', unit: ' ms', digits: 1, of: (run) => run.p99Ms ?? Number.NaN };

export const scrape: Scenario = {
  name: 'scrape',
  describe: `what a request to --admin costs the main thread of a process with ${LANES.toLocaleString('en')} lanes, over what it does without`,
  figures: [cost, answer],
  runs: () => [scraping(IDLE, 'noop'), scraping(OUT, 'full')],
  goals: (summary) =>
    [IDLE, OUT].map((state) =>
      atMost(summary.median(cost, caseOf(METRICS, state), 'orderlane'), 5, state, ' ms a scrape'),
    ),
};

function caseOf(path: string, state: string): string {
  return `${path}, ${state}`;
}

function scraping(state: string, handler: HandlerName): Run {
  const plain = orderlane({ handler, logLevel: 'error' });
  return {
    system: plain.name,
    label: `${state}: ${plain.name}`,
    measure: (pair) =>
      onStage(plain, undefined, async ({ inbox, job }): Promise<readonly Measured[]> => {
        const admin = `127.0.0.1:${await freePort()}`;
        const peer: Peer = { ...plain, command: (each) => [...plain.command(each), '--admin', admin] };
        const running = new RunningPeer(peer, job({ warmup: 0, orders: ORDERS, concurrency: 4000 }));
        try {
          const base = `http://${admin}`;
          await inbox.publish({ orders: ORDERS, merchants: MERCHANTS, seed: pair });
          const lanes = await within(running, settled(base));
          if (lanes < LANES) throw new Error(`expected ${LANES} lanes, received ${lanes}`);
          const rows: Measured[] = [];
          for (const path of [METRICS, PAGE]) {
            const { cpuMs, worstMs, elapsedMs } = await requests(base + path, running.pid);
            const { peakMb } = usageOf(running.pid);
            rows.push({
              case: caseOf(path, state),
              system: plain.name,
              orders: BLOCK * BLOCKS,
              elapsedMs,
              cpuMs,
              peakMb,
              p99Ms: worstMs,
            });
          }
          return rows;
        } finally {
          await running.stop();
        }
      }),
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** How many lanes there are when all orders have come and none is in flight. */
async function settled(base: string): Promise<number> {
  for (;;) {
    const { body } = await request(`${base}/stats`);
    const { stats } = (await body.json()) as { stats?: { received: number; inFlight: number; merchants: number } };
    if (stats !== undefined && stats.received >= ORDERS && stats.inFlight === 0) {
      await sleep(QUIET_MS);
      return stats.merchants;
    }
    await sleep(POLL_MS);
  }
}

/**
 * The main thread's time for all of them, by the median of blocks, each less what the thread needs in the same time without: it
 * has other work, which comes and goes. And the longest wait for an answer.
 */
async function requests(
  url: string,
  pid: number,
): Promise<{ readonly cpuMs: number; readonly worstMs: number; readonly elapsedMs: number }> {
  let worstMs = 0;
  const block = async (): Promise<void> => {
    for (let n = 0; n < BLOCK; n++) {
      const begun = performance.now();
      const { statusCode, body } = await request(url);
      await body.text();
      if (statusCode !== 200) throw new Error(`${url} answers ${statusCode}`);
      worstMs = Math.max(worstMs, performance.now() - begun);
      await sleep(PAUSE_MS);
    }
  };
  for (let n = 0; n < WARMUPS; n++) await block();
  worstMs = 0;
  const begun = performance.now();
  const costs: number[] = [];
  for (let n = 0; n < BLOCKS; n++) {
    const [before, at] = [mainThreadMs(pid), performance.now()];
    await block();
    const [between, elapsedMs] = [mainThreadMs(pid), performance.now() - at];
    await sleep(elapsedMs);
    costs.push(between - before - (mainThreadMs(pid) - between));
  }
  return { cpuMs: median(costs) * BLOCKS, worstMs, elapsedMs: performance.now() - begun };
}
