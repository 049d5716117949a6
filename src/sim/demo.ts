import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stats } from '../stats.ts';
import { check, type Verdict } from './checker.ts';
import { Child } from './child.ts';
import { journalOf } from './journal.ts';
import { merchantName } from './orders.ts';
import type { Receipt } from './receipts.ts';
import { takeAll } from './take-all.ts';

export interface DemoPlan {
  readonly durationMs: number;
  readonly rate: number;
  readonly merchants: number;
  readonly seed: number;
  /** How long to try the broker. */
  readonly connectWaitMs: number;
}

export interface Demo extends DemoPlan {
  /** A folder for what the processes leave to each other. */
  readonly dir: string;
  readonly broker: string;
  /** The command line's main module. */
  readonly main: string;
  /** Ends the publishing early; the summary is made all the same. */
  readonly signal: AbortSignal;
}

export interface DemoView {
  say(text: string): void;
  /** A new reading of the worker's figures; `ills` says what is wrong with which merchant. */
  show(stats: Stats, ills: ReadonlyMap<string, string>): void;
}

export interface DemoResult {
  readonly plan: DemoPlan;
  readonly elapsedMs: number;
  readonly verdict: Verdict;
  readonly stats: Stats | undefined;
  readonly ills: ReadonlyMap<string, string>;
  /** Why orders were dead-lettered, and whose they were. */
  readonly deadByReason: ReadonlyMap<string, number>;
  readonly deadMerchants: ReadonlySet<string>;
}

const QUEUE = 'orderlane-demo';
const STATS_MS = 500;
const TIMEOUT_S = 5;
const SETTLE_LIMIT_MS = 5_000;

/** By rank, busiest first: the ill ones are merchants that matter. */
const ILLS: ReadonlyMap<string, string> = new Map([
  [merchantName(3), 'silent'],
  [merchantName(4), 'slow, 3 s'],
  [merchantName(6), 'failing'],
  [merchantName(9), 'slow, 2 s'],
]);

const SCENARIO = {
  default: { latency: { distribution: 'log-normal', median: '80ms', sigma: 0.5 } },
  rules: [
    { merchants: { ids: [merchantName(3)] }, silent: true },
    { merchants: { ids: [merchantName(4)] }, latency: { distribution: 'fixed', value: '3s' } },
    { merchants: { ids: [merchantName(6)] }, failing: { status: 500 } },
    { merchants: { ids: [merchantName(9)] }, latency: { distribution: 'fixed', value: '2s' } },
  ],
};

/** Runs merchants, work and a publisher against a broker, each a process, and judges from outside what came of it. */
export async function runDemo(demo: Demo, view: DemoView): Promise<DemoResult> {
  const { main, dir, broker } = demo;
  const children: Child[] = [];
  const scenario = join(dir, 'scenario.json');
  await writeFile(scenario, JSON.stringify(SCENARIO));
  try {
    const merchants = await Child.ready({ main, args: ['merchants', '--port', '0', '--scenario', scenario, '--json'] });
    children.push(merchants.child);
    const { url, urlTemplate } = JSON.parse(merchants.line) as { url: string; urlTemplate: string };

    let stats: Stats | undefined;
    const onLine = (line: string): void => {
      const reading = statsOf(line);
      if (reading === undefined) return;
      stats = reading;
      view.show(reading, ILLS);
    };
    const work = await Child.ready({ main, args: workArgs(demo, urlTemplate), onLine });
    children.push(work.child);
    const worker = work.child;
    const workerGone = worker.exited.then((code) => Promise.reject(worker.failure(code)));
    workerGone.catch(() => undefined); // heard below, while it matters

    const begun = performance.now();
    const journal = join(dir, 'journal.ndjson');
    await Promise.race([publish(demo, journal, children), workerGone]);
    view.say('finishing what is under way');
    await Promise.race([healthyDone(() => stats), workerGone]);
    await worker.stop();
    const elapsedMs = performance.now() - begun;

    const queues = await takeAll(broker, QUEUE);
    const receipts = await receiptsOf(url);
    const verdict = check({
      published: await journalOf(journal),
      receipts,
      dead: queues.dead.map((each) => each.identity),
      ambiguous: queues.ambiguous.map((each) => each.identity),
      queued: queues.queued.map((each) => each.identity),
      isHealthy: (merchant) => !ILLS.has(merchant),
    });
    const deadByReason = new Map<string, number>();
    for (const { reason } of queues.dead) deadByReason.set(reason, (deadByReason.get(reason) ?? 0) + 1);
    const deadMerchants = new Set(queues.dead.map((each) => each.merchant));
    return { plan: demo, elapsedMs, verdict, stats, ills: ILLS, deadByReason, deadMerchants };
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

function workArgs({ broker, connectWaitMs }: Demo, urlTemplate: string): string[] {
  const args = ['work', '--broker', broker, '--queue', QUEUE, '--url', urlTemplate, '--allow-host', '127.0.0.1'];
  // Shorter than the defaults, so that a minute shows attempts, time-outs and dead letters.
  args.push('--timeout', `${TIMEOUT_S}s`, '--deadline', '25s', '--max-attempts', '4', '--shutdown-timeout', '10s');
  args.push('--connect-wait', `${connectWaitMs}ms`);
  return [...args, '--log-format', 'json', '--stats-interval', `${STATS_MS}ms`];
}

async function publish(demo: Demo, journal: string, children: Child[]): Promise<void> {
  const { main, broker, rate, durationMs, merchants, seed, signal, connectWaitMs } = demo;
  const orders = Math.max(1, Math.round((rate * durationMs) / 1000));
  const args = ['publish', '--broker', broker, '--queue', QUEUE, '--generate', String(orders), '--rate', String(rate)];
  args.push('--connect-wait', `${connectWaitMs}ms`);
  args.push('--merchants', String(merchants), '--zipf', '1', '--seed', String(seed), '--journal', journal);
  const child = new Child({ main, args });
  children.push(child);
  const onAbort = (): void => void child.stop();
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort);
  const code = await child.exited;
  signal.removeEventListener('abort', onAbort);
  if (code !== 0 && !signal.aborted) throw child.failure(code);
}

/** Until only merchants that are ill have anything left, or for as long as that may take. */
async function healthyDone(latest: () => Stats | undefined): Promise<void> {
  const giveUpAt = performance.now() + SETTLE_LIMIT_MS;
  const before = latest();
  for (;;) {
    const stats = latest();
    if (stats !== undefined && stats !== before && stats.slowest.every((lane) => ILLS.has(lane.merchant))) return;
    if (performance.now() >= giveUpAt) return;
    await new Promise((resolve) => setTimeout(resolve, STATS_MS / 2));
  }
}

/** The figures in a `stats` line of the log; undefined for any other line. */
function statsOf(line: string): Stats | undefined {
  if (!line.includes('"msg":"stats"')) return undefined;
  const { counts, outcomes, shards, slowest } = JSON.parse(line) as Pick<Stats, 'outcomes' | 'shards' | 'slowest'> & {
    counts: Omit<Stats, 'outcomes' | 'shards' | 'slowest'>;
  };
  return { ...counts, outcomes, shards, slowest };
}

async function receiptsOf(url: string): Promise<Receipt[]> {
  const response = await fetch(`${url}/_orderlane/receipts`);
  const text = await response.text();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Receipt);
}
