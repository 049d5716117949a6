import type { Window } from '../broker/source.ts';
import type { Readings } from '../readings.ts';
import type { Stats } from '../stats.ts';
import type { Budget } from './budget.ts';
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

interface Counted extends Pick<Stats, 'waiting' | 'merchants' | 'shards' | 'slowest'> {
  readonly settlements: Settlements;
  readonly budget: Budget;
  /** What the process lacks, in words. */
  readonly pressure: string | undefined;
  readonly window: Window;
}

/** The counts of a dispatcher. */
export function statsOf({ settlements, budget, pressure, window, ...counts }: Counted): Stats {
  const { tally, ladder } = settlements;
  return {
    received: tally.received,
    outcomes: { ...tally.outcomes },
    retried: tally.retried,
    deferred: tally.deferred,
    deadLettered: { ...tally.deadLettered },
    parked: tally.parked,
    joined: tally.joined,
    inFlight: budget.used,
    overAge: budget.overAge,
    waiting: counts.waiting,
    ...(pressure === undefined ? {} : { pressure }),
    unsettled: window.unsettled,
    unsettledBytes: window.unsettledBytes,
    onLadder: ladder.size,
    merchants: counts.merchants,
    shards: counts.shards,
    slowest: counts.slowest,
  };
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
