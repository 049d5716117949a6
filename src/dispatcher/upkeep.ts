import type { Source } from '../broker/source.ts';
import type { Lane } from '../lane/lane.ts';
import type { Gate } from '../stats.ts';
import type { Containment } from './containment.ts';
import { type Deferral, deferred, LEAST_LEFT_MS } from './deferral.ts';
import type { Lanes } from './lanes.ts';
import { type Entry, expired } from './ledger.ts';
import { Round } from './round.ts';
import type { Settlements } from './settlements.ts';
import type { ShardPool } from './shard-pool.ts';
import type { WorstLanes } from './worst-lanes.ts';

/** RabbitMQ closes the channel of a consumer that holds a delivery for longer, by default 30 min; with some to spare. */
const CONSUMER_TIMEOUT_MS = 28 * 60_000;
/** How long an order waits here before it is given back and comes again. */
const HELD_MS = 20 * 60_000;
/** Orders that leave in one part: each is a publish, and a thousand at once are a fifth of a second in which nothing else goes on. */
const AT_ONCE = 100;

export interface UpkeepParts {
  readonly lanes: Lanes;
  readonly worst: WorstLanes;
  readonly containment: Containment;
  readonly deferral: Deferral;
  readonly settlements: Settlements;
  readonly shards: Pick<ShardPool, 'forget'>;
  readonly source: Pick<Source, 'window'>;
  readonly random: () => number;
  readonly gateOf: (lane: Lane<Entry>, now: number) => Gate | undefined;
}

/**
 * Looks at every lane every few seconds, a part of them at a time: for orders that may wait no longer, for lanes that have had
 * nothing to do for a while, and for those that are worst off.
 */
export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #round: Round<Lane<Entry>>;
  /** More of its orders are to leave than one part lets. */
  #unfinished: Lane<Entry> | undefined;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
    this.#round = new Round(parts.lanes);
  }

  /** Begins a round, unless one is under way. */
  begin(): void {
    this.#round.begin();
  }

  /** Does the next part of the round, if there is one; returns how many orders wait no longer. */
  part(now: number): number {
    const { lanes, worst, containment, shards } = this.#parts;
    if (this.#round.isOver) return 0;
    let gone = 0;
    for (const lane of this.#next()) {
      if (lane.waiting > 0) gone += this.#expire(lane, AT_ONCE - gone, now);
      if (lane.waiting > 0) gone += this.#sendAway(lane, AT_ONCE - gone, now);
      if (lanes.evict(lane, now)) {
        containment.forget(lane);
        shards.forget(lane);
      } else worst.saw(lane, now);
      if (gone < AT_ONCE) continue;
      this.#unfinished = lane; // and the round is not over, be it the last
      return gone;
    }
    if (this.#round.isOver) worst.roundIsOver();
    return gone;
  }

  *#next(): Generator<Lane<Entry>, void, undefined> {
    const unfinished = this.#unfinished;
    this.#unfinished = undefined;
    if (unfinished !== undefined) yield unfinished;
    yield* this.#round.part();
  }

  /**
   * Orders of a lane that stands still do not wait for a turn past their deadlines, nor for so long that the broker would
   * take the channel for dead.
   */
  #expire(lane: Lane<Entry>, most: number, now: number): number {
    const { settlements } = this.#parts;
    const heldMs = Math.min(HELD_MS, CONSUMER_TIMEOUT_MS - lane.merchant.timeoutMs);
    let left = most;
    const gone = lane.keepOnly(
      ({ delivery, arrivedAt }) => (now < delivery.deadlineAt && now - arrivedAt < heldMs) || left-- <= 0,
    );
    for (const entry of gone) {
      if (now >= entry.delivery.deadlineAt) settlements.settle(entry, expired(entry), now);
      else this.#defer(entry, this.#parts.gateOf(lane, now), now);
    }
    return gone.length;
  }

  /** What has come to stand still keeps no more of the window than it would have got if it had stood still before. */
  #sendAway(lane: Lane<Entry>, most: number, now: number): number {
    const { deferral, source } = this.#parts;
    const gate = this.#parts.gateOf(lane, now);
    const excess = Math.min(most, deferral.excess(lane, gate, source.window()));
    if (excess === 0) return 0;
    let kept = lane.waiting - excess;
    const gone = lane.keepOnly(({ delivery }) => kept-- > 0 || delivery.deadlineAt - now < LEAST_LEFT_MS);
    for (const entry of gone) this.#defer(entry, gate, now);
    return gone.length;
  }

  #defer(entry: Entry, gate: Gate | undefined, now: number): void {
    const { settlements, random } = this.#parts;
    const { delivery } = entry;
    settlements.settle(entry, deferred(entry.lane, gate, delivery, delivery.deadlineAt - now, random(), now), now);
  }
}
