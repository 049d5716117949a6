import type { Lane } from '../lane/lane.ts';
import type { Gate } from '../stats.ts';
import type { Budget } from './budget.ts';
import type { Containment } from './containment.ts';
import type { Entry } from './ledger.ts';
import type { ShardPool } from './shard-pool.ts';
import type { Trials } from './trials.ts';

interface GateParts {
  readonly shards: Pick<ShardPool, 'isReady' | 'hasRoom'>;
  readonly budget: Budget;
  readonly containment: Containment;
  readonly trials: Trials;
}

/** What keeps a lane's next order from starting: the lane's own reasons first, then its shard's, then the process's. */
export class Gates {
  readonly #parts: GateParts;

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /** Besides that the budget may be full, another order on trial, or its thread behind. */
  of(lane: Lane<Entry>, now: number): Exclude<Gate, 'budget' | 'alone'> | undefined {
    const { shards, budget, containment } = this.#parts;
    const own = lane.gate(now);
    if (own !== undefined) return own;
    if (!shards.isReady(lane.shard) || !containment.mayStart(lane, now)) return 'shard';
    if (lane.isSuspect && !budget.trustsSuspects) return 'suspect';
    if (budget.holdsAsSlow(lane)) return 'slow';
    return lane.inFlight >= budget.share(lane.merchant.weight) ? 'share' : undefined;
  }

  /** For an order that is on trial itself. */
  ofTrial(lane: Lane<Entry>, now: number): Gate | undefined {
    return this.of(lane, now) ?? (this.#parts.budget.isFull ? 'budget' : undefined);
  }

  /** Whatever it is. */
  any(lane: Lane<Entry>, now: number): Gate | undefined {
    const { trials, shards } = this.#parts;
    const gate = this.ofTrial(lane, now) ?? (trials.holdsOthers(now) ? 'alone' : undefined);
    return gate ?? (shards.hasRoom(lane.shard, lane.catchesUp) ? undefined : 'shard');
  }
}
