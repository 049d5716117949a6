import type { Lane } from '../lane/lane.ts';
import type { Gate, LaneStats } from '../stats.ts';
import type { Entry } from './ledger.ts';

const SHOWN = 8;

/** The lanes that are slowest, or whose orders will wait longest, worst first, each with the gate that holds it. */
export function worstLanes(
  lanes: Iterable<Lane<Entry>>,
  entries: Iterable<Entry>,
  gateOf: (lane: Lane<Entry>) => Gate | undefined,
  now: number,
): LaneStats[] {
  const oldest = new Map<Lane<Entry>, number>();
  for (const { state, lane, startedAt } of entries) {
    if (state === 'in-flight') oldest.set(lane, Math.max(oldest.get(lane) ?? 0, now - startedAt));
  }
  const rows: { readonly lane: Lane<Entry>; readonly oldestMs: number; readonly badness: number }[] = [];
  for (const lane of lanes) {
    if (lane.isIdle) continue;
    const oldestMs = oldest.get(lane) ?? 0;
    const backlog = lane.waiting + lane.out;
    const servedInMs = backlog === 0 ? 0 : Math.max(lane.opensAt(now) - now, (backlog * 1000) / lane.servesPerSecond);
    const waitedMs = now - (lane.head?.arrivedAt ?? now);
    rows.push({ lane, oldestMs, badness: Math.max(oldestMs, waitedMs, lane.latencyMs, servedInMs) });
  }
  return rows
    .sort((a, b) => b.badness - a.badness)
    .slice(0, SHOWN)
    .map(({ lane, oldestMs }) => {
      const gate = lane.waiting + lane.out === 0 ? undefined : gateOf(lane);
      return {
        merchant: lane.merchantId,
        ...(gate === undefined ? {} : { gate }),
        ...(lane.failure === undefined ? {} : { failure: lane.failure }),
        inFlight: lane.inFlight,
        waiting: lane.waiting,
        out: lane.out,
        latencyMs: lane.latencyMs,
        oldestMs,
      };
    });
}
