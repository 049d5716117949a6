import type { PublishedMessage } from '../../src/sim/checker.ts';
import { percentile } from '../../src/sim/checker.ts';
import type { Receipt } from '../../src/sim/receipts.ts';
import type { TakenQueues } from '../../src/sim/take-all.ts';
import { CALM_S, type Cast, FAULT_S, RUN_S } from './cases.ts';

/** What a run left behind, none of it told by the system that was measured. */
export interface Traces {
  readonly published: readonly PublishedMessage[];
  readonly receipts: ReadonlyMap<string, Receipt>;
  readonly queues: TakenQueues;
  /** When the scenario was set, in milliseconds since the epoch. */
  readonly begun: number;
  readonly deadlineMs: number;
}

/** From the intended publish to the answer's end, in milliseconds. */
export interface Latency {
  readonly published: number;
  readonly delivered: number;
  readonly p50Ms: number;
  /** Infinite when so many were not answered. */
  readonly p99Ms: number;
}

export interface Judged {
  /** Of healthy merchants, published while the fault lasted. */
  readonly healthy: Latency;
  /** Of healthy merchants, published after it. */
  readonly recovery: Latency;
  /** p99 of healthy merchants' orders by the second of their intended publish, from the run's first; null where it is infinite. */
  readonly healthyP99MsBySecond: readonly (number | null)[];
  /** Of bimodal merchants, at any time. */
  readonly bimodal: Latency;
  /** What the bimodal merchants' calls themselves took, p99, in milliseconds. */
  readonly bimodalCallP99Ms: number;
  readonly struck: {
    readonly published: number;
    readonly delivered: number;
    readonly deadLettered: number;
    readonly parked: number;
    readonly queued: number;
  };
  /** Orders of anybody that were confirmed, not accepted, and in no queue. */
  readonly lost: number;
  readonly duplicateSends: number;
  readonly sentAfterDeadline: number;
  /** From the fault's end to the last answer of a struck merchant's order, in seconds. */
  readonly drainedAfterS: number;
}

export function judge(traces: Traces, { struck, bimodal }: Cast): Judged {
  const { published, receipts, queues, begun, deadlineMs } = traces;
  const faultAt = begun + CALM_S * 1000;
  const overAt = faultAt + FAULT_S * 1000;
  const isHealthy = ({ merchant }: PublishedMessage): boolean => !struck.has(merchant) && !bimodal.has(merchant);
  const dead = new Set(queues.dead.map(({ identity }) => identity));
  const parked = new Set(queues.ambiguous.map(({ identity }) => identity));
  const queued = new Set(queues.queued.map(({ identity }) => identity));
  const ends = { published: 0, delivered: 0, deadLettered: 0, parked: 0, queued: 0 };
  let lost = 0;
  let sentAfterDeadline = 0;
  let duplicateSends = 0;
  let lastAt = overAt;
  for (const { key, merchant, intendedAt } of published) {
    const receipt = receipts.get(key);
    const acceptedAt = receipt?.acceptedAt ?? null;
    const end =
      acceptedAt !== null
        ? 'delivered'
        : dead.has(key)
          ? 'deadLettered'
          : parked.has(key)
            ? 'parked'
            : queued.has(key)
              ? 'queued'
              : undefined;
    if (end === undefined) lost++;
    if (receipt !== undefined && receipt.lastSentAt > intendedAt + deadlineMs) sentAfterDeadline++;
    duplicateSends += receipt?.duplicates ?? 0;
    if (!struck.has(merchant)) continue;
    ends.published++;
    if (end !== undefined) ends[end]++;
    lastAt = Math.max(lastAt, acceptedAt ?? 0);
  }
  const inFault = ({ intendedAt }: PublishedMessage): boolean => intendedAt >= faultAt && intendedAt < overAt;
  const ofBimodal = published.filter(({ merchant }) => bimodal.has(merchant));
  return {
    healthy: latencyOf(
      published.filter((order) => isHealthy(order) && inFault(order)),
      receipts,
    ),
    recovery: latencyOf(
      published.filter((order) => isHealthy(order) && order.intendedAt >= overAt),
      receipts,
    ),
    healthyP99MsBySecond: bySecond(published.filter(isHealthy), begun).map((orders) => {
      const { p99Ms } = latencyOf(orders, receipts);
      return Number.isFinite(p99Ms) ? Math.round(p99Ms) : null;
    }),
    bimodal: latencyOf(ofBimodal, receipts),
    bimodalCallP99Ms: p99(
      ofBimodal.map(({ key }) => {
        const { acceptedAt = null, lastSentAt = 0 } = receipts.get(key) ?? {};
        return acceptedAt === null ? Number.POSITIVE_INFINITY : acceptedAt - lastSentAt;
      }),
    ),
    struck: ends,
    lost,
    duplicateSends,
    sentAfterDeadline,
    drainedAfterS: (lastAt - overAt) / 1000,
  };
}

function bySecond(orders: readonly PublishedMessage[], begun: number): PublishedMessage[][] {
  const seconds: PublishedMessage[][] = Array.from({ length: RUN_S }, () => []);
  for (const order of orders) seconds[Math.floor((order.intendedAt - begun) / 1000)]?.push(order);
  return seconds;
}

function latencyOf(orders: readonly PublishedMessage[], receipts: ReadonlyMap<string, Receipt>): Latency {
  const all = orders.map(
    ({ key, intendedAt }) => (receipts.get(key)?.acceptedAt ?? Number.POSITIVE_INFINITY) - intendedAt,
  );
  const sorted = Float64Array.from(all).sort();
  return {
    published: all.length,
    delivered: all.filter(Number.isFinite).length,
    p50Ms: percentile(sorted, 50) ?? Number.NaN,
    p99Ms: percentile(sorted, 99) ?? Number.NaN,
  };
}

function p99(values: readonly number[]): number {
  return percentile(Float64Array.from(values).sort(), 99) ?? Number.NaN;
}
