/**
 * What merchants that stop answering do to the others: real RabbitMQ, real HTTP, an open loop. Each pair is a run with the
 * fault and one without, with the same orders at the same intended times; latency runs from the intended publish to the
 * merchant's answer, and only healthy merchants count.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBroker } from '../src/sim/broker.ts';
import { Child } from '../src/sim/child.ts';
import { merchantName } from '../src/sim/orders.ts';
import { seeded } from '../src/sim/random.ts';
import type { Receipt } from '../src/sim/receipts.ts';
import { type Job, type Peer, RunningPeer } from './peer.ts';
import { orderlane } from './peers/orderlane.ts';
import { plain } from './peers/plain.ts';

const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
const MERCHANTS = 1000;
const CALM_S = 20;
const FAULT_S = 30;
const RECOVERY_S = 15;

export interface IsolationRow {
  readonly scenario: 'isolation';
  readonly system: string;
  readonly pair: number;
  readonly fault: Fault;
  readonly struck: number;
  readonly budget: number;
  readonly rate: number;
  /** Of healthy merchants' orders that were published while the fault lasted, in milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly calmP50Ms: number;
  readonly calmP99Ms: number;
  readonly healthy: number;
  /** Of those, how many had been answered when the run ended. */
  readonly answered: number;
  readonly duplicates: number;
}

export type Fault = 'hang' | 'slow';

export interface Case {
  readonly fault: Fault;
  readonly struck: number;
  readonly budget: number;
  readonly rate: number;
  /** p99 over the calm run's that is the goal. */
  readonly most: number;
}

export const CASES: readonly Case[] = [
  { fault: 'hang', struck: 0.1, budget: 200, rate: 300, most: 1.3 },
  { fault: 'hang', struck: 0.1, budget: 1000, rate: 300, most: 1.15 },
  { fault: 'hang', struck: 0.3, budget: 2000, rate: 300, most: 1.15 },
  { fault: 'hang', struck: 0.5, budget: 4000, rate: 300, most: 1.15 },
  { fault: 'slow', struck: 0.3, budget: 1000, rate: 300, most: 1.15 },
];

export const SYSTEMS: readonly Peer[] = [orderlane(undefined, 50), plain('got')];

export async function measurePair(of: Case, peer: Peer, pair: number): Promise<IsolationRow> {
  const calm = await measure(of, peer, pair, false);
  const faulty = await measure(of, peer, pair, true);
  const { fault, struck, budget, rate } = of;
  return {
    scenario: 'isolation',
    system: peer.name,
    pair,
    fault,
    struck,
    budget,
    rate,
    p50Ms: percentile(faulty.latencies, 0.5),
    p99Ms: percentile(faulty.latencies, 0.99),
    calmP50Ms: percentile(calm.latencies, 0.5),
    calmP99Ms: percentile(calm.latencies, 0.99),
    healthy: faulty.healthy,
    answered: faulty.latencies.filter((ms) => ms < Number.POSITIVE_INFINITY).length,
    duplicates: faulty.duplicates,
  };
}

interface Measured {
  /** Ascending; infinite for an order that was not answered. */
  readonly latencies: readonly number[];
  readonly healthy: number;
  readonly duplicates: number;
}

async function measure(of: Case, peer: Peer, seed: number, faulty: boolean): Promise<Measured> {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-bench-'));
  const broker = await startBroker();
  const children: Child[] = [];
  try {
    const struck = struckMerchants(of.struck, seed);
    const scenario = join(dir, 'scenario.json');
    await writeFile(scenario, JSON.stringify(scenarioOf(undefined, struck, seed)));
    const merchants = await Child.ready({
      main: MAIN,
      args: ['merchants', '--port', '0', '--scenario', scenario, '--json'],
    });
    children.push(merchants.child);
    const { url, urlTemplate } = JSON.parse(merchants.line) as { url: string; urlTemplate: string };
    const orders = of.rate * (CALM_S + FAULT_S + RECOVERY_S);
    const warmup = of.rate * 2;
    const target = { broker: broker.url, queue: 'orders', concurrency: of.budget, url: urlTemplate };
    const job: Job = { ...target, warmup: 0, orders: Number.MAX_SAFE_INTEGER };
    // The queue must be there before a consumer that makes none, and neither side is measured while it is compiled.
    await publish(children, broker.url, ['--generate', String(warmup), '--seed', '99'], join(dir, 'warm'));
    const running = new RunningPeer(peer, job);
    try {
      await accepted(url, warmup);
      const begun = Date.now();
      // The fault counts from when the scenario is set.
      if (faulty) await setScenario(url, scenarioOf(of.fault, struck, seed));
      const journal = join(dir, 'journal');
      await publish(
        children,
        broker.url,
        ['--generate', String(orders), '--rate', String(of.rate), '--seed', String(seed)],
        journal,
      );
      const [from, to] = [begun + CALM_S * 1000, begun + (CALM_S + FAULT_S) * 1000];
      return judge(await journalOf(journal), await receiptsOf(url), (id) => struck.has(id), from, to);
    } finally {
      await running.stop();
    }
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function publish(children: Child[], broker: string, what: readonly string[], journal: string): Promise<void> {
  const flags = [
    '--broker',
    broker,
    '--queue',
    'orders',
    '--merchants',
    String(MERCHANTS),
    '--zipf',
    '1',
    '--journal',
    journal,
  ];
  const child = new Child({ main: MAIN, args: ['publish', ...flags, ...what] });
  children.push(child);
  const code = await child.exited;
  if (code !== 0) throw child.failure(code);
}

/** The second busiest, and others by lot. */
function struckMerchants(part: number, seed: number): Set<string> {
  const random = seeded(seed);
  const struck = new Set([merchantName(1)]);
  while (struck.size < MERCHANTS * part) struck.add(merchantName(Math.floor(random() * MERCHANTS)));
  return struck;
}

function scenarioOf(fault: Fault | undefined, struck: ReadonlySet<string>, seed: number): object {
  const latency = { distribution: 'log-normal', median: '80ms', sigma: 0.5 };
  const window = { merchants: { ids: [...struck] }, from: `${CALM_S}s`, until: `${CALM_S + FAULT_S}s` };
  const ill =
    fault === 'hang' ? { silent: true } : { latency: { distribution: 'log-normal', median: '5s', sigma: 0.3 } };
  return { seed, default: { latency }, rules: fault === undefined ? [] : [{ ...window, ...ill }] };
}

async function setScenario(url: string, scenario: object): Promise<void> {
  const answer = await fetch(`${url}/_orderlane/scenario`, { method: 'PUT', body: JSON.stringify(scenario) });
  if (!answer.ok) throw new Error(`the merchants refused their scenario: ${await answer.text()}`);
}

async function accepted(url: string, orders: number): Promise<void> {
  for (;;) {
    const { accepted: count } = (await (await fetch(`${url}/_orderlane/stats`)).json()) as { accepted: number };
    if (count >= orders) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

interface Published {
  readonly key: string;
  readonly merchant: string;
  readonly intendedAt: number;
}

async function journalOf(path: string): Promise<Published[]> {
  return (await readFile(path, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Published);
}

async function receiptsOf(url: string): Promise<Map<string, Receipt>> {
  const text = await (await fetch(`${url}/_orderlane/receipts`)).text();
  const receipts = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Receipt);
  return new Map(receipts.map((receipt) => [receipt.key, receipt]));
}

function judge(
  journal: readonly Published[],
  receipts: ReadonlyMap<string, Receipt>,
  isStruck: (merchant: string) => boolean,
  from: number,
  to: number,
): Measured {
  const healthy = journal.filter(
    ({ merchant, intendedAt }) => !isStruck(merchant) && intendedAt >= from && intendedAt < to,
  );
  const latencies = healthy
    .map(({ key, intendedAt }) => (receipts.get(key)?.acceptedAt ?? Number.POSITIVE_INFINITY) - intendedAt)
    .sort((a, b) => a - b);
  let duplicates = 0;
  for (const receipt of receipts.values()) duplicates += receipt.duplicates;
  return { latencies, healthy: healthy.length, duplicates };
}

function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
}
