import type { Readings } from '../readings.ts';
import type { Stats } from '../stats.ts';
import type { Entry } from './ledger.ts';
import type { Settlements } from './settlements.ts';

/** The greatest ages among the orders in hand: of all, and of those that wait for nothing that their own merchant does. */
function oldest(
  entries: Iterable<Entry>,
  now: number,
): { readonly oldestUnsettledMs: number; readonly oldestEligibleMs: number } {
  let oldestUnsettledMs = 0;
  let oldestEligibleMs = 0;
  for (const { arrivedAt, state, lane } of entries) {
    const ageMs = now - arrivedAt;
    if (ageMs > oldestUnsettledMs) oldestUnsettledMs = ageMs;
    if (ageMs > oldestEligibleMs && state === 'waiting' && lane.gate(now) === undefined) oldestEligibleMs = ageMs;
  }
  return { oldestUnsettledMs, oldestEligibleMs };
}

/** Everything that can be read of a dispatcher. */
export function readingsOf(stats: Stats, { tally, ledger }: Settlements, now: number): Readings {
  return {
    stats,
    attempts: tally.attempts,
    settled: tally.settled.reading(),
    waited: tally.waited.reading(),
    called: tally.called.reading(),
    ...oldest(ledger.entries(), now),
  };
}
