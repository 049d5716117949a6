import { type Ending, endingOf, NEITHER } from '../lane/ending.ts';
import type { ThreadOutcome } from '../protocol.ts';
import type { Budget } from './budget.ts';
import type { Containment } from './containment.ts';
import type { Entry } from './ledger.ts';
import type { Settlements } from './settlements.ts';
import type { ShardPool } from './shard-pool.ts';
import type { Trials } from './trials.ts';

interface FlightParts {
  readonly settlements: Pick<Settlements, 'tally'>;
  readonly budget: Budget;
  readonly containment: Containment;
  readonly trials: Trials;
  readonly shards: Pick<ShardPool, 'hand'>;
}

/** Orders in the hands of their shards: everybody who counts them is told when one is handed over, and when it is back. */
export class Flight {
  readonly #parts: FlightParts;

  constructor(parts: FlightParts) {
    this.#parts = parts;
  }

  start(entry: Entry, now: number): void {
    const { settlements, budget, containment, trials, shards } = this.#parts;
    entry.state = 'in-flight';
    entry.startedAt = now;
    if (entry.possiblySent) entry.confirmFirst ||= entry.lane.merchant.duplicates === 'confirm';
    settlements.tally.attempts++;
    settlements.tally.waited.observe(now - entry.arrivedAt);
    entry.era = entry.lane.started(now);
    budget.started(entry);
    containment.started(entry);
    trials.started(entry, now);
    shards.hand(entry);
  }

  /** Its attempt came to something. */
  cameBack(entry: Entry, outcome: ThreadOutcome, now: number): void {
    const tookMs = now - entry.startedAt;
    this.#parts.settlements.tally.called.observe(tookMs);
    // Not what refuses at once: with a busy merchant that does, all others would seem slow beside it.
    if (outcome.kind === 'delivered') this.#parts.budget.delivered(entry.lane.shard, tookMs);
    this.#end(entry, tellsNothing(entry, outcome, now) ? NEITHER : endingOf(outcome), now);
  }

  /** Its thread was lost. */
  lost(entry: Entry, now: number): void {
    this.#end(entry, NEITHER, now);
  }

  #end(entry: Entry, ending: Ending, now: number): void {
    const { budget, trials } = this.#parts;
    entry.lane.ended(entry.era, entry.startedAt, ending, now);
    budget.ended(entry);
    trials.ended(entry);
  }
}

/**
 * A call that its order's deadline cut short says nothing of a merchant that would have had more time, unless that had long been
 * due to answer: where all orders have less time than the merchant's time-out, nothing else would tell that it hangs.
 */
function tellsNothing({ delivery, lane, startedAt, overAge }: Entry, outcome: ThreadOutcome, now: number): boolean {
  const isUnanswered = (outcome.kind === 'ambiguous' || outcome.kind === 'not-sent') && !('status' in outcome);
  return isUnanswered && !overAge && now >= delivery.deadlineAt && now - startedAt < lane.merchant.timeoutMs;
}
