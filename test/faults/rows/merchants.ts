import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from '../../helpers/command.ts';
import { OddMerchants } from '../odd-merchants.ts';
import type { Row } from '../row.ts';

const MB = 2 ** 20;
const TIMEOUT_S = 3;
/** A bomb of 1 GB and a body without an end among them. */
const MEMORY_BYTES = 500 * MB;

/** What a first attempt at each merchant must come to, and why its orders are dead-lettered, if they are. */
const EXPECTED: Readonly<Record<string, { readonly outcome?: string; readonly dead?: string }>> = {
  good: {},
  silent: { outcome: 'ambiguous' },
  trickling: { outcome: 'ambiguous' },
  resetting: { outcome: 'ambiguous' },
  truncating: { outcome: 'ambiguous' },
  stale: { outcome: 'ambiguous' },
  busy: { outcome: 'throttled' },
  overloaded: { outcome: 'throttled' },
  bombing: {},
  endless: {},
  moved: { outcome: 'rejected', dead: 'rejected' },
  untrusted: { outcome: 'not-sent', dead: 'max-attempts' },
};

/** All of them at once, beside a good one. */
export const oddMerchants: Row = {
  name: 'merchants',
  fault: 'merchants: silent, trickling, reset, truncated, stale connections, bomb, endless, 307, bad TLS, 429, 503',
  short: true,
  async play(stage) {
    const each = stage.full ? 100 : 5;
    const odd = await OddMerchants.start(stage);
    stage.receipts = odd.receipts;
    const directory = join(stage.dir, 'merchants.json');
    const merchants = Object.fromEntries(
      Object.keys(EXPECTED).map((id) => [
        id,
        id === 'untrusted'
          ? { url: `${odd.untrustedUrl}/{merchantId}/orders` }
          : id === 'stale'
            ? { concurrency: 1 }
            : {},
      ]),
    );
    const defaults = { url: `${odd.url}/{merchantId}/orders` };
    await writeFile(directory, JSON.stringify({ allowHosts: ['127.0.0.1'], defaults, merchants }));
    const lines: string[] = [];
    for (let n = 0; n < each; n++) {
      for (const id of Object.keys(EXPECTED)) {
        // One alone: after two calls that nobody answers its breaker opens, for longer each time.
        if (n === 0 || id !== 'untrusted') lines.push(JSON.stringify({ id: `${id}-${n}`, merchant_id: id }));
      }
    }
    const file = join(stage.dir, 'orders.ndjson');
    await writeFile(file, `${lines.join('\n')}\n`);
    await stage.publish({ file });
    const limits = [
      '--timeout',
      `${TIMEOUT_S}s`,
      '--max-attempts',
      '3',
      '--backoff',
      '100ms',
      '--backoff-max',
      '200ms',
    ];
    const worker = await stage.work('--merchants', directory, ...limits);
    let peakBytes = 0;
    const watch = setInterval(() => {
      peakOf(worker.pid).then(
        (bytes) => {
          peakBytes = Math.max(peakBytes, bytes);
        },
        () => undefined, // it has ended
      );
    }, 100);
    stage.after(() => clearInterval(watch));
    await stage.ended(worker);
    if (peakBytes > MEMORY_BYTES) {
      throw new Error(`expected at most ${MEMORY_BYTES / MB} MB of memory, got ${Math.round(peakBytes / MB)} MB`);
    }
    judgeOutcomes(worker);
    if (odd.stale === 0) throw new Error('expected a call on a connection that was kept and lost');
    const reasons = new Map(Object.entries(EXPECTED).map(([id, { dead }]) => [id, dead]));
    return {
      bound: 0,
      recoveredMs: [],
      deadLettered: each + 1, // every redirect, and the one order that no TLS connection could be made for
      judgeDead: (dead) =>
        dead
          .filter(({ merchant, reason }) => reasons.get(merchant) !== reason)
          .map(({ merchant, reason }) => `a dead letter of ${merchant}: ${reason}`),
    };
  },
};

function judgeOutcomes(worker: Command): void {
  for (const line of worker.log.all) {
    const { merchant, outcome, attempt } = line;
    if (outcome === undefined || attempt !== 1 || outcome === 'deferred') continue;
    const expected = EXPECTED[String(merchant)]?.outcome;
    if (outcome !== expected)
      throw new Error(`expected ${String(expected)} of ${String(merchant)}: ${JSON.stringify(line)}`);
  }
}

/** The most memory that a process has had so far. */
async function peakOf(pid: number): Promise<number> {
  const [, kilobytes = '0'] = /VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
