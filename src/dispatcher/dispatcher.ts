import type { Delivery, Sink, Source } from '../broker/source.ts';
import type { Lane } from '../lane/lane.ts';
import type { Directory } from '../merchant/directory.ts';
import type { ThreadOutcome } from '../protocol.ts';
import type { LanePage, LaneQuery, Readings } from '../readings.ts';
import type { Stats } from '../stats.ts';
import { BlockedLanes } from './blocked.ts';
import { Budget } from './budget.ts';
import { noteProgress, noteStandstill } from './catching-up.ts';
import { Containment } from './containment.ts';
import { Deferral, deferred } from './deferral.ts';
import { noteOutcome } from './failures.ts';
import { Flight } from './flight.ts';
import { Gates } from './gates.ts';
import { Lanes } from './lanes.ts';
import { type Entry, entryOf, keyOf } from './ledger.ts';
import { heldOf, Pressure } from './pressure.ts';
import { readingsOf, statsOf } from './readings-of.ts';
import { isSuspicious } from './returns.ts';
import { Round } from './round.ts';
import { Scheduler } from './scheduler.ts';
import { type SettlementOptions, type SettlementParts, Settlements } from './settlements.ts';
import type { Loss } from './shard.ts';
import type { ShardPool } from './shard-pool.ts';
import { Trials } from './trials.ts';
import { Upkeep } from './upkeep.ts';
import { WorstLanes } from './worst-lanes.ts';

/** With tens of thousands of lanes that wait, it takes as long as a few hundred orders. */
const JUDGE_MS = 500;

export interface DispatcherOptions extends SettlementOptions {
  readonly concurrency: number;
  readonly prefetch: number;
}

export interface DispatcherParts extends SettlementParts {
  readonly source: Source;
  readonly shards: Pick<ShardPool, 'shardOf' | 'isReady' | 'hasRoom' | 'anyHasRoom' | 'hand' | 'forget' | 'stats'>;
  readonly directory: Pick<Directory, 'find'>;
}

/**
 * Where an order's way is decided: puts each delivery in its merchant's lane, gives lanes turns under the process's
 * budget, hands an order to its shard only when it may start, and settles it by what its attempt came to. Pure apart from
 * its neighbours: no timer, no I/O.
 */
export class Dispatcher implements Sink {
  readonly #parts: DispatcherParts;
  readonly #lanes: Lanes;
  readonly #scheduler: Scheduler<Entry>;
  readonly #containment = new Containment();
  /** Lanes with waiting orders that a gate holds: each is offered again a few times a second. All others with such are in line. */
  readonly #blocked = new BlockedLanes();
  readonly #budget: Budget;
  readonly #pressure: Pressure;
  #judgeAt = Number.NEGATIVE_INFINITY;
  readonly #deferral: Deferral;
  readonly #settlements: Settlements;
  readonly #trials: Trials;
  readonly #gates: Gates;
  readonly #flight: Flight;
  readonly #worst: WorstLanes;
  readonly #upkeep: Upkeep;
  /** Lanes that have yet to be told of the directory's new entries. */
  readonly #changed: Round<Lane<Entry>>;
  /** Channels up to this epoch are gone. */
  #lostEpoch = 0;
  #waiting = 0;
  #draining = false;
  #now = 0;

  constructor(options: DispatcherOptions, parts: DispatcherParts) {
    this.#parts = parts;
    this.#lanes = new Lanes(parts.directory, (merchantId) => parts.shards.shardOf(merchantId));
    this.#scheduler = new Scheduler((shard, catchesUp) => parts.shards.hasRoom(shard, catchesUp));
    this.#budget = new Budget(options.concurrency);
    this.#pressure = new Pressure(options.prefetch);
    this.#deferral = new Deferral();
    this.#settlements = new Settlements(options, parts, this.#deferral);
    this.#trials = new Trials(options, { ...parts, settlements: this.#settlements });
    const admission = {
      shards: parts.shards,
      budget: this.#budget,
      containment: this.#containment,
      trials: this.#trials,
    };
    this.#gates = new Gates(admission);
    this.#flight = new Flight({ ...admission, settlements: this.#settlements });
    this.#worst = new WorstLanes({
      lanes: this.#lanes,
      calls: () => this.#budget.calls() as Iterable<Entry>, // it is given entries only
      gateOf: (lane, now) => this.#gates.any(lane, now),
    });
    this.#upkeep = new Upkeep({
      ...parts,
      lanes: this.#lanes,
      worst: this.#worst,
      containment: this.#containment,
      deferral: this.#deferral,
      settlements: this.#settlements,
      gateOf: (lane, now) => this.#gates.of(lane, now),
    });
    this.#changed = new Round(this.#lanes);
  }

  // Source's side

  received(delivery: Delivery): void {
    const now = this.#parts.clock.now();
    const key = keyOf(delivery);
    const known = this.#settlements.joins(key, delivery);
    if (known === 'joined') return;
    this.#settlements.tally.received++;
    if (delivery.malformed !== undefined) {
      this.#settlements.refuse(delivery, delivery.malformed, known === 'new');
      return;
    }
    if (delivery.ours) this.#settlements.ladder.isBack(key);
    const lane = this.#lanes.of(delivery.merchantId);
    if (lane === undefined) {
      this.#settlements.refuse(delivery, `unknown merchant '${delivery.merchantId}'`, known === 'new');
      return;
    }
    const entry = entryOf(delivery, lane, key, known === 'new', now);
    if (!this.#settlements.ledger.add(entry)) {
      this.#parts.log.warn(
        { merchant: lane.merchantId, order: delivery.orderId, identity: delivery.identity },
        'another message with the same message ID is in hand: both are sent, with the same idempotency key',
      );
    }
    lane.usedAt = now;
    const instead = this.#settlements.insteadOfWait(entry, now);
    if (instead !== undefined) {
      this.#settlements.settle(entry, instead, now);
      return;
    }
    if (this.#draining && !this.#settlements.mayComeBack(entry, now)) {
      this.#settlements.release(entry, now);
      return;
    }
    if (isSuspicious(entry)) {
      this.#trials.received(entry, now);
      return;
    }
    const gate = this.#gates.of(lane, now);
    if (gate !== undefined) noteStandstill(lane, gate, this.#budget, now);
    if (gate !== undefined || lane.waiting > 0) {
      const leftMs = delivery.deadlineAt - now;
      if (this.#deferral.isDue(lane, gate, delivery.bytes, leftMs, this.#parts.source.window())) {
        this.#settlements.settle(entry, deferred(lane, gate, delivery, leftMs, this.#parts.random(), now), now);
        return;
      }
    }
    lane.push(entry);
    this.#waiting++;
    this.#scheduler.offer(lane);
    this.#pump(now);
  }

  settled(delivery: Delivery): void {
    this.#settlements.settled(delivery);
    this.#trials.settled(delivery);
  }

  /** What waits and was never sent is let go; what is in flight stays, to be joined by its redelivery. */
  lost(epoch: number): void {
    this.#lostEpoch = Math.max(this.#lostEpoch, epoch);
    for (const lane of this.#withWaiting()) {
      const gone = lane.keepOnly((entry) => entry.delivery.epoch > epoch);
      this.#waiting -= gone.length;
      for (const entry of gone) this.#settlements.letGo(entry);
    }
    this.#trials.lost(epoch);
  }

  // Shards' side

  outcome(entry: Entry, outcome: ThreadOutcome): void {
    const now = this.#parts.clock.now();
    const { servesSlow } = this.#budget;
    this.#flight.cameBack(entry, outcome, now);
    if (!servesSlow && this.#budget.servesSlow) this.#offer(this.#blocked.takeSlow());
    this.#offer(entry.lane);
    if (this.#containment.cameBack(entry)) for (const each of this.#containment.quarantined) this.#offer(each);
    noteOutcome(entry, outcome, now, this.#parts.log);
    this.#settlements.settle(entry, outcome, now);
  }

  /** Called when all that a thread has to tell for now is told. */
  turn(): void {
    this.#pump(this.#parts.clock.now());
  }

  threadLost(shard: number, loss: Loss): void {
    const now = this.#parts.clock.now();
    const blamed = this.#containment.lost(shard, loss.onStack, loss.sending, now);
    this.#parts.log.warn(
      {
        shard,
        reason: loss.why,
        handed: loss.handed.length,
        sending: loss.sending.length,
        ...(blamed === undefined ? {} : { merchant: blamed.lane.merchantId, order: blamed.delivery.orderId }),
      },
      blamed !== undefined
        ? 'a thread was lost to an order'
        : loss.sending.some(({ lane }) => lane.quarantined)
          ? 'a thread was lost; what it was sending runs one at a time until the cause is known'
          : 'a thread was lost, and nothing names the cause',
    );
    // Back to the head of their lanes, in the order in which they stood there.
    for (const entry of loss.handed.toReversed()) {
      this.#flight.lost(entry, now);
      this.#offer(entry.lane);
      if (entry === blamed) {
        this.#settlements.settle(entry, { kind: 'not-sent', reason: loss.why }, now, true);
        continue;
      }
      entry.state = 'waiting';
      if (entry.delivery.epoch <= this.#lostEpoch) this.#settlements.letGo(entry);
      else if (this.#draining && !this.#settlements.mayComeBack(entry, now)) this.#settlements.release(entry, now);
      else if (isSuspicious(entry)) this.#trials.received(entry, now);
      else {
        entry.lane.unshift(entry);
        this.#waiting++;
        this.#offer(entry.lane);
      }
    }
    for (const entry of loss.sending) {
      this.#flight.lost(entry, now);
      this.#offer(entry.lane);
      this.#settlements.settle(entry, { kind: 'ambiguous', reason: loss.why }, now, entry === blamed);
    }
  }

  shardReady(shard: number): void {
    for (const lane of this.#blocked) if (lane.shard === shard) this.#offer(lane);
    this.#pump(this.#parts.clock.now());
  }

  // Whoever runs it

  /** To be called about ten times a second: finds calls that are over age, lets held lanes try again, and goes on with sweeps. */
  tick(): void {
    const now = this.#parts.clock.now();
    this.#settlements.ladder.sweep(now);
    this.#lookAfter(now);
    this.#refreshLanes();
    this.#budget.age(now);
    for (const lane of this.#blocked) this.#offer(lane);
    this.#blocked.clear();
    this.#pump(now);
    this.#judge(now);
  }

  /** Whether the process has too little of something; it asks all that waits. */
  #judge(now: number): void {
    if (now < this.#judgeAt) return;
    this.#judgeAt = now + JUDGE_MS;
    // What a full budget, a drain or a trial keeps waiting is laid to nothing else.
    const isOpen = !this.#draining && !this.#budget.isFull && !this.#trials.holdsOthers(now);
    const held = heldOf(isOpen ? this.#withWaiting() : [], (lane) => this.#gates.of(lane, now));
    const load = { waiting: this.#waiting, held, ...this.#parts.source.window() };
    const lack = this.#pressure.judge(this.#budget, load, now);
    if (lack !== undefined) this.#parts.log.warn({ concurrency: this.#budget.limit, waiting: this.#waiting }, lack);
  }

  /**
   * To be called every few seconds: begins to look at all lanes, for those to let go of and orders that may not wait longer, and for
   * copies that are lost. A part of them each time; ticks do the rest.
   */
  sweep(): void {
    const now = this.#parts.clock.now();
    this.#settlements.ladder.beginSweep();
    this.#settlements.ladder.sweep(now);
    this.#upkeep.begin();
    this.#lookAfter(now);
  }

  /** To be called when the directory has other entries, or only this merchant's is another. Lanes follow within seconds. */
  directoryChanged(merchantId?: string): void {
    if (merchantId === undefined) this.#changed.beginAnew();
    else {
      const lane = this.#lanes.byMerchant.get(merchantId);
      if (lane !== undefined) this.#refresh(lane);
    }
    this.#refreshLanes();
    this.#pump(this.#parts.clock.now());
  }

  /** Starts nothing more. What waits goes back to the broker when the source stops. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    const now = this.#parts.clock.now();
    this.#trials.drain(now);
    for (const lane of this.#withWaiting()) {
      const waiting = lane.keepOnly((entry) => this.#settlements.mayComeBack(entry, now));
      this.#waiting -= waiting.length;
      for (const entry of waiting) this.#settlements.release(entry, now);
    }
  }

  /** Orders that are being sent, or whose end is not durable yet. */
  get busy(): number {
    return this.#budget.used + this.#settlements.pending;
  }

  /** Nothing is in hand, and nothing of ours is on the ladder. */
  get isEmpty(): boolean {
    return (
      this.#parts.source.window().unsettled === 0 &&
      this.#settlements.ledger.size === 0 &&
      this.#settlements.ladder.size === 0 &&
      this.busy === 0
    );
  }

  snapshot(): Stats {
    const now = this.#parts.clock.now();
    return statsOf({
      settlements: this.#settlements,
      budget: this.#budget,
      waiting: this.#waiting,
      pressure: this.#pressure.words,
      window: this.#parts.source.window(),
      merchants: this.#lanes.size,
      shards: this.#parts.shards.stats(),
      slowest: this.#worst.shown(now),
    });
  }

  readings(): Readings {
    return readingsOf(this.snapshot(), this.#settlements, this.#parts.clock.now());
  }

  /** The lanes that have anything in them, worst first. */
  async lanes(query: LaneQuery): Promise<LanePage> {
    return await this.#worst.page(query, this.#parts.clock);
  }

  /** Every lane with orders that wait, be it twice, and not the 100,000 that may be idle beside them. */
  *#withWaiting(): Generator<Lane<Entry>> {
    yield* this.#blocked;
    yield* this.#scheduler;
  }

  #pump(now: number): void {
    if (this.#draining) return;
    this.#now = now;
    for (const entry of this.#trials.due(this.#gates, this.#budget.used, now)) this.#flight.start(entry, now);
    if (this.#trials.holdsOthers(now)) return;
    while (!this.#budget.isFull) {
      const lane = this.#scheduler.next(this.#mayStart);
      if (lane === undefined) {
        // Where nothing waits, the last tenth of the budget is asked for, too.
        const isWanted = this.#budget.hasRoom || this.#waiting === 0;
        if (isWanted && this.#parts.shards.anyHasRoom()) this.#parts.source.wantMore();
        return;
      }
      const entry = lane.shift() as Entry;
      this.#waiting--;
      const instead = this.#settlements.insteadOfSend(entry, now);
      if (instead === undefined) this.#flight.start(entry, now);
      else this.#settlements.settle(entry, instead, now);
      noteProgress(lane, now); // its last order, too, is one of a lane that catches up
    }
  }

  readonly #mayStart = (lane: Lane<Entry>): boolean => {
    if (lane.waiting === 0) return false;
    const gate = this.#gates.of(lane, this.#now);
    if (gate === undefined) return true;
    noteStandstill(lane, gate, this.#budget, this.#now);
    this.#blocked.add(lane, gate);
    return false;
  };

  #lookAfter(now: number): void {
    this.#waiting -= this.#upkeep.part(now);
  }

  #refreshLanes(): void {
    for (const lane of this.#changed.part()) this.#refresh(lane);
  }

  #refresh(lane: Lane<Entry>): void {
    this.#lanes.refresh(lane);
    this.#offer(lane);
  }

  #offer(lane: Lane<Entry> | undefined): void {
    if (lane !== undefined && lane.waiting > 0) this.#scheduler.offer(lane);
  }
}
