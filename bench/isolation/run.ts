import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBroker } from '../../src/sim/broker.ts';
import type { PublishedMessage } from '../../src/sim/checker.ts';
import { Child } from '../../src/sim/child.ts';
import type { Receipt } from '../../src/sim/receipts.ts';
import { takeAll } from '../../src/sim/take-all.ts';
import { onInterrupt } from '../interrupt.ts';
import { median } from '../median.ts';
import { type Job, type Peer, RunningPeer } from '../peer.ts';
import { usageOf } from '../process-tree.ts';
import { takeTasks } from '../task.ts';
import { Stolen } from '../stolen.ts';
import { within } from '../trial.ts';
import { castOf, type Fault, MEDIAN_MS, MERCHANTS, RUN_S, scenarioOf } from './cases.ts';
import { type Judged, judge } from './judge.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const QUEUE = 'orders';
const DEADLINE_S = 120;
/** For `work`: an order may be sent until then, from its intended publish on. */
export const DEADLINE: string = `${DEADLINE_S}s`;
/** After the last publish: what struck merchants were to get may take several attempts. */
const DRAIN_S = 150;
const STALLED_S = 75;
/** A thread has compiled by then what it needs. */
const WARMUP = 20_000;
/** What saturates is looked for from here on, in orders a second, for so long at each rate. */
const LEAST_SATURATING = 1000;
export const SATURATING_STEP = 1.1;
const SATURATING_S = 5;

export interface Setup {
  readonly budget: number;
  readonly struck: number;
  /** Orders a second. */
  readonly rate: number;
  /** Decides who is struck, who orders when, and how long each call takes. */
  readonly seed: number;
}

export interface Ran extends Judged {
  /** Most hops of one order, as far as the system tells. */
  readonly mostHops: number;
  /** Of the whole process tree, from its start to its stop. */
  readonly cpuMs: number;
  readonly peakMb: number;
  /** The most of this machine's CPU time that its host gave to others for 5 s, 0 to 1. */
  readonly stolen: number;
}

/** One run of one system, with a fault or without, from an empty broker to an empty broker. */
export function run(setup: Setup, peer: Peer, fault: Fault | undefined): Promise<Ran> {
  const cast = castOf(setup.struck, setup.seed);
  return withMerchants(scenarioOf(undefined, cast, setup.seed), async (stage) => {
    const orders = setup.rate * RUN_S;
    // The queue must be there before a consumer that makes none, and neither side is measured while it is compiled.
    await stage.publish(['--generate', String(WARMUP), '--seed', '99', '--ids', 'warm']);
    let mostHops = 0;
    const job: Job = { ...stage.job(setup.budget), warmup: 0, orders: Number.MAX_SAFE_INTEGER };
    const running = new RunningPeer(peer, job, (line) => {
      mostHops = Math.max(mostHops, hopsOf(line));
    });
    let begun: number;
    let published: PublishedMessage[];
    let usage: ReturnType<typeof usageOf>;
    let stolen: number;
    try {
      await within(running, stage.accepted(WARMUP));
      begun = Date.now();
      await stage.setScenario(scenarioOf(fault, cast, setup.seed));
      const flags = ['--generate', String(orders), '--rate', String(setup.rate), '--seed', String(setup.seed)];
      const watch = new Stolen();
      published = await stage.publish([...flags, '--ids', 'run']);
      stolen = watch.stop();
      await within(running, stage.accepted(WARMUP + orders, DRAIN_S * 1000));
      usage = usageOf(running.pid);
    } finally {
      await running.stop();
    }
    const queues = await takeAll(stage.broker, QUEUE);
    const tasks = peer.takesTasks === true ? await takeTasks(stage.broker, QUEUE) : [];
    const traces = {
      published,
      receipts: await stage.receipts(),
      queues: { ...queues, queued: [...queues.queued, ...tasks] },
      begun,
      deadlineMs: DEADLINE_S * 1000,
    };
    return { ...judge(traces, cast), ...usage, mostHops, stolen };
  });
}

/**
 * The orders a second at which this system, with publisher, broker and merchants on the same machine, falls behind an open loop in
 * which nothing is wrong: half of the orders take more than twice what a call takes. Found upward, by a tenth a step.
 */
export function saturation(peer: Peer): Promise<{ readonly rate: number; readonly stolen: number }> {
  return withMerchants(scenarioOf(undefined, castOf(0, 1), 1), async (stage) => {
    await stage.publish(['--generate', String(WARMUP), '--seed', '99', '--ids', 'warm']);
    const running = new RunningPeer(peer, { ...stage.job(4000), warmup: 0, orders: Number.MAX_SAFE_INTEGER });
    try {
      let accepted = WARMUP;
      await within(running, stage.accepted(accepted));
      const watch = new Stolen();
      for (let rate = LEAST_SATURATING; ; rate = Math.round(rate * SATURATING_STEP)) {
        const orders = rate * SATURATING_S;
        const flags = ['--generate', String(orders), '--rate', String(rate), '--seed', '1', '--ids', `at-${rate}`];
        const published = await stage.publish(flags);
        accepted += orders;
        await within(running, stage.accepted(accepted));
        const receipts = await stage.receipts();
        const tookMs = published.map(({ key, intendedAt }) => {
          return (receipts.get(key)?.acceptedAt ?? Number.POSITIVE_INFINITY) - intendedAt;
        });
        if (median(tookMs) > 2 * MEDIAN_MS) return { rate, stolen: watch.stop() };
      }
    } finally {
      await running.stop();
    }
  });
}

interface Stage {
  readonly broker: string;
  job(budget: number): Pick<Job, 'broker' | 'queue' | 'concurrency' | 'url'>;
  setScenario(scenario: object): Promise<void>;
  publish(what: readonly string[]): Promise<PublishedMessage[]>;
  /** Until merchants have accepted so many. Nothing for a while is an error, or with a limit of time the end. */
  accepted(orders: number, withinMs?: number): Promise<void>;
  receipts(): Promise<Map<string, Receipt>>;
}

async function withMerchants<T>(scenario: object, work: (stage: Stage) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-bench-'));
  const kept = onInterrupt(() => rmSync(dir, { recursive: true, force: true }));
  const broker = await startBroker();
  const children: Child[] = [];
  try {
    const file = join(dir, 'scenario.json');
    await writeFile(file, JSON.stringify(scenario));
    const merchants = await Child.ready({
      main: MAIN,
      args: ['merchants', '--port', '0', '--scenario', file, '--json'],
    });
    children.push(merchants.child);
    const { url, urlTemplate } = JSON.parse(merchants.line) as { url: string; urlTemplate: string };
    return await work({
      broker: broker.url,
      job: (concurrency) => ({ broker: broker.url, queue: QUEUE, concurrency, url: urlTemplate }),
      setScenario: async (next) => {
        const answer = await fetch(`${url}/_orderlane/scenario`, { method: 'PUT', body: JSON.stringify(next) });
        if (!answer.ok) throw new Error(`the merchants refused their scenario: ${await answer.text()}`);
      },
      publish: async (what) => {
        const journal = join(dir, 'journal');
        const to = ['--broker', broker.url, '--queue', QUEUE, '--merchants', String(MERCHANTS), '--zipf', '1'];
        const child = new Child({ main: MAIN, args: ['publish', ...to, '--journal', journal, ...what] });
        children.push(child);
        const code = await child.exited;
        if (code !== 0) throw child.failure(code);
        return parseLines<PublishedMessage>(await readFile(journal, 'utf8'));
      },
      accepted: (orders, withinMs) => accepted(url, orders, withinMs),
      receipts: async () => {
        const all = parseLines<Receipt>(await (await fetch(`${url}/_orderlane/receipts`)).text());
        return new Map(all.map((receipt) => [receipt.key, receipt]));
      },
    });
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
    kept();
  }
}

async function accepted(url: string, orders: number, withinMs?: number): Promise<void> {
  const begun = performance.now();
  let [last, since] = [-1, begun];
  for (;;) {
    const stats = (await (await fetch(`${url}/_orderlane/stats?top=0`)).json()) as { messages: { accepted: number } };
    const count = stats.messages.accepted;
    const now = performance.now();
    if (count !== last) [last, since] = [count, now];
    if (count >= orders) return;
    const stalled = now - since > STALLED_S * 1000;
    if (stalled && withinMs === undefined)
      throw new Error(`${count} orders were accepted, and no more for ${STALLED_S} s; expected ${orders}`);
    if (stalled || now - begun > (withinMs ?? Number.POSITIVE_INFINITY)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function parseLines<T>(text: string): T[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as T);
}

/** Of a line of orderlane's log that tells of a retry or a deferral: how often the order has been republished then. */
function hopsOf(line: string): number {
  const hop = /"hop":(\d+)/.exec(line)?.[1];
  return hop === undefined || !/"msg":"(?:retry|defer)"/.test(line) ? 0 : Number(hop) + 1;
}
