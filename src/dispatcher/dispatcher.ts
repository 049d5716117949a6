import type { Delivery, Sink, Source } from '../broker/source.ts';
import type { Clock } from '../clock.ts';
import { type Ending, Lane } from '../lane/lane.ts';
import type { Directory } from '../merchant/directory.ts';
import { ACK, type Outcome, type Settlement } from '../outcome.ts';
import type { ThreadOutcome } from '../protocol.ts';
import type { Gate, Stats } from '../stats.ts';
import { Budget } from './budget.ts';
import { Containment } from './containment.ts';
import { Deferral, deferred } from './deferral.ts';
import { type Entry, entryOf, keyOf, Ledger } from './ledger.ts';
import { Pressure } from './pressure.ts';
import { Scheduler } from './scheduler.ts';
import { type Facts, settlementOf } from './settlement.ts';
import type { Loss } from './shard.ts';
import type { ShardPool } from './shard-pool.ts';
import { Tally } from './tally.ts';
import { worstLanes } from './worst-lanes.ts';

export interface DispatcherOptions {
  readonly concurrency: number;
  readonly prefetch: number;
  readonly windowBytes: number;
  readonly maxAttempts: number;
  readonly maxCrashes: number;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** Whether the loaded handler has a `confirm`. */
  readonly canConfirm: boolean;
}

export interface DispatcherLog {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface DispatcherParts {
  readonly source: Source;
  readonly shards: Pick<ShardPool, 'shardOf' | 'isReady' | 'hand' | 'forget' | 'stats'>;
  readonly directory: Pick<Directory, 'find'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: DispatcherLog;
}

/** A settlement that is not durable yet. A late twin's has no entry. */
interface Settling {
  readonly key: string;
  readonly entry: Entry | undefined;
  readonly settlement: Settlement;
}

/** A copy of ours that is on the ladder. */
interface Out {
  /** When it must have left it. */
  readonly backAt: number;
  /** Absent for a late twin's. */
  readonly lane: Lane<Entry> | undefined;
}

const ANSWERED: Ending = { told: 'answered', overloaded: false, retryAfterMs: undefined };
const FAILED: Ending = { told: 'failed', overloaded: false, retryAfterMs: undefined };
const NEITHER: Ending = { told: 'neither', overloaded: false, retryAfterMs: undefined };
/** RabbitMQ closes the channel of a consumer that holds a delivery for longer, by default 30 min; with some to spare. */
const CONSUMER_TIMEOUT_MS = 28 * 60_000;
/** How long an order waits here before it is given back and comes again. */
const HELD_MS = 20 * 60_000;
const LANE_KEPT_MS = 60_000;
/** Longer than the longest rung: its orders may be on the ladder. */
const QUARANTINE_KEPT_MS = 600_000;
/** How late the ladder may be, in a burst. */
const RETURN_MS = 5_000;
const RELEASE_DELAY_MS = 1000;

/**
 * Where an order's way is decided: puts each delivery in its merchant's lane, gives lanes turns under the process's
 * budget, hands an order to its shard only when it may start, and settles it by what its attempt came to. Pure apart from
 * its neighbours: no timer, no I/O.
 */
export class Dispatcher implements Sink {
  readonly #options: DispatcherOptions;
  readonly #parts: DispatcherParts;
  readonly #lanes = new Map<string, Lane<Entry>>();
  readonly #ledger = new Ledger();
  readonly #scheduler = new Scheduler<Entry>();
  readonly #containment = new Containment();
  readonly #settling = new Map<Delivery, Settling>();
  /** By key. */
  readonly #out = new Map<string, Out>();
  /** Lanes with waiting orders that a gate holds: each is offered again a few times a second. */
  readonly #blocked = new Set<Lane<Entry>>();
  readonly #budget: Budget;
  readonly #pressure = new Pressure();
  readonly #deferral: Deferral;
  /** Channels up to this epoch are gone. */
  #lostEpoch = 0;
  readonly #tally = new Tally();
  #waiting = 0;
  #draining = false;
  #now = 0;

  constructor(options: DispatcherOptions, parts: DispatcherParts) {
    this.#options = options;
    this.#parts = parts;
    this.#budget = new Budget(options.concurrency);
    this.#deferral = new Deferral(options);
  }

  // Source's side

  received(delivery: Delivery): void {
    const now = this.#parts.clock.now();
    const key = keyOf(delivery);
    if (delivery.malformed !== undefined) {
      if (delivery.identity !== '' && this.#ledger.lateTwin(key, delivery) === ACK) {
        this.#tally.joined++;
        this.#parts.source.settle(delivery, ACK);
        return;
      }
      this.#tally.received++;
      this.#refuse(delivery, delivery.malformed);
      return;
    }
    const copy = this.#ledger.sameCopy(key, delivery);
    if (copy !== undefined) {
      this.#join(copy, delivery);
      return;
    }
    const late = this.#ledger.lateTwin(key, delivery);
    if (late !== undefined && late !== 'released') {
      this.#tally.joined++;
      const settled = this.#parts.source.settle(delivery, late);
      if (settled === 'pending') this.#settling.set(delivery, { key, entry: undefined, settlement: late });
      return;
    }
    this.#tally.received++;
    if (delivery.ours) this.#isBack(key);
    const lane = this.#laneOf(delivery.merchantId);
    if (lane === undefined) {
      this.#refuse(delivery, `unknown merchant '${delivery.merchantId}'`);
      return;
    }
    const entry = entryOf(delivery, lane, key, delivery.redelivered && late === undefined, now);
    if (!this.#ledger.add(entry)) {
      this.#parts.log.warn(
        { merchant: lane.merchantId, order: delivery.orderId, identity: delivery.identity },
        'another message with the same message ID is in hand: both are sent, with the same idempotency key',
      );
    }
    lane.usedAt = now;
    if (entry.possiblySent) {
      if (!this.#maySendAgain(entry)) {
        this.#settle(entry, { kind: 'ambiguous', reason: 'redelivered, and nobody knows whether it was sent' }, now);
        return;
      }
      entry.confirmFirst ||= lane.merchant.duplicates === 'confirm';
    }
    if (delivery.notBeforeAt > now) {
      const delayMs = delivery.notBeforeAt - now;
      this.#settle(entry, { kind: 'deferred', reason: 'its time has not come', delayMs, atLeastMs: delayMs }, now);
      return;
    }
    if (this.#draining && lane.merchant.duplicates !== 'idempotent') {
      this.#release(entry, now);
      return;
    }
    const gate = this.#gateOf(lane, now);
    if (gate !== undefined || lane.waiting > 0) {
      const leftMs = delivery.deadlineAt - now;
      if (this.#deferral.isDue(lane, delivery.bytes, leftMs, this.#parts.source.window())) {
        this.#settle(entry, deferred(lane, gate, delivery.hop, this.#parts.random(), now), now);
        return;
      }
    }
    lane.push(entry);
    this.#waiting++;
    this.#scheduler.offer(lane);
    this.#pump(now);
  }

  settled(delivery: Delivery): void {
    const ended = this.#settling.get(delivery);
    if (ended === undefined) return;
    this.#settling.delete(delivery);
    const { key, entry, settlement } = ended;
    if (settlement.kind === 'defer' && entry !== undefined) this.#deferral.confirmed();
    if (settlement.kind === 'retry' || settlement.kind === 'defer') {
      // It may have come back already, when the first confirm was lost and it was published twice.
      const next = { identity: delivery.identity, hop: delivery.hop + 1 };
      const backAt = this.#parts.clock.now() + settlement.delayMs + RETURN_MS;
      this.#out.set(keyOf(next), { backAt, lane: entry?.lane });
      if (this.#ledger.knows(next)) this.#isBack(keyOf(next));
    }
    if (entry === undefined) this.#ledger.remember(key, delivery, ACK);
    else this.#end(entry, ACK);
  }

  /** What waits and was never sent is let go; what is in flight stays, to be joined by its redelivery. */
  lost(epoch: number): void {
    this.#lostEpoch = Math.max(this.#lostEpoch, epoch);
    for (const lane of this.#lanes.values()) {
      if (lane.waiting === 0) continue;
      const gone = lane.keepOnly((entry) => entry.delivery.epoch > epoch);
      this.#waiting -= gone.length;
      for (const entry of gone) this.#letGo(entry);
    }
  }

  // Shards' side

  outcome(entry: Entry, outcome: ThreadOutcome): void {
    const now = this.#parts.clock.now();
    this.#leaveFlight(entry, endingOf(outcome), now);
    if (this.#containment.cameBack(entry)) this.#offerQuarantined();
    this.#settle(entry, outcome, now);
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
      blamed === undefined
        ? 'a thread was lost; its orders run one at a time until the cause is known'
        : 'a thread was lost to an order',
    );
    // Back to the head of their lanes, in the order in which they stood there.
    for (const entry of loss.handed.toReversed()) {
      this.#leaveFlight(entry, NEITHER, now);
      if (entry === blamed) {
        this.#settle(entry, { kind: 'not-sent', reason: loss.why }, now, true);
        continue;
      }
      entry.state = 'waiting';
      if (entry.delivery.epoch <= this.#lostEpoch) {
        this.#letGo(entry);
        continue;
      }
      if (this.#draining && entry.lane.merchant.duplicates !== 'idempotent') {
        this.#release(entry, now);
        continue;
      }
      entry.lane.unshift(entry);
      this.#waiting++;
    }
    for (const entry of loss.sending) {
      this.#leaveFlight(entry, NEITHER, now);
      this.#settle(entry, { kind: 'ambiguous', reason: loss.why }, now, entry === blamed);
    }
  }

  shardReady(shard: number): void {
    for (const lane of this.#lanes.values()) {
      if (lane.shard === shard && lane.waiting > 0) this.#scheduler.offer(lane);
    }
    this.#pump(this.#parts.clock.now());
  }

  // Whoever runs it

  /** To be called about ten times a second: finds calls that are over age, and lets held lanes try again. */
  tick(): void {
    const now = this.#parts.clock.now();
    this.#budget.age(now);
    let held = 0;
    for (const lane of this.#blocked) {
      if (this.#gateOf(lane, now) === 'suspect') held += lane.waiting;
      if (lane.waiting > 0) this.#scheduler.offer(lane);
    }
    this.#blocked.clear();
    this.#pump(now);
    const lack = this.#pressure.judge(this.#budget, this.#waiting, held, now);
    if (lack !== undefined) this.#parts.log.warn({ concurrency: this.#budget.limit, waiting: this.#waiting }, lack);
  }

  /** To be called every few seconds: lets go of lanes that have had nothing to do for a while, and of lost copies. */
  sweep(): void {
    const now = this.#parts.clock.now();
    // Another process on the same queue may have taken it; if not, the queue's own count has it by now.
    for (const [key, { backAt }] of this.#out) if (now >= backAt) this.#isBack(key);
    for (const lane of this.#lanes.values()) {
      if (lane.waiting > 0) this.#expire(lane, now);
      const keptMs = lane.quarantined ? QUARANTINE_KEPT_MS : LANE_KEPT_MS;
      if (!lane.isIdle || now - Math.max(lane.usedAt, lane.quarantinedUntil, lane.opensAt(now)) < keptMs) continue;
      this.#lanes.delete(lane.merchantId);
      this.#containment.forget(lane);
      this.#parts.shards.forget(lane.shard, lane.merchantId);
    }
  }

  /** Takes the directory's new entries over. A merchant that is gone keeps its old one for the orders in hand. */
  directoryChanged(): void {
    for (const lane of this.#lanes.values()) {
      const merchant = this.#parts.directory.find(lane.merchantId);
      lane.isGone = merchant === undefined;
      lane.merchant = merchant ?? lane.merchant;
      if (lane.waiting > 0) this.#scheduler.offer(lane);
    }
    this.#pump(this.#parts.clock.now());
  }

  /** Starts nothing more. What waits goes back to the broker when the source stops. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    const now = this.#parts.clock.now();
    for (const lane of this.#lanes.values()) {
      if (lane.merchant.duplicates === 'idempotent') continue;
      const waiting = lane.keepOnly(() => false);
      this.#waiting -= waiting.length;
      for (const entry of waiting) this.#release(entry, now);
    }
  }

  /** Orders that are being sent, or whose end is not durable yet. */
  get busy(): number {
    return this.#budget.used + this.#settling.size;
  }

  /** Nothing is in hand, and nothing of ours is on the ladder. */
  get isEmpty(): boolean {
    return (
      this.#parts.source.window().unsettled === 0 && this.#ledger.size === 0 && this.#out.size === 0 && this.busy === 0
    );
  }

  snapshot(): Stats {
    const now = this.#parts.clock.now();
    const tally = this.#tally;
    const window = this.#parts.source.window();
    return {
      received: tally.received,
      outcomes: { ...tally.outcomes },
      retried: tally.retried,
      deferred: tally.deferred,
      deadLettered: { ...tally.deadLettered },
      parked: tally.parked,
      joined: tally.joined,
      inFlight: this.#budget.used,
      overAge: this.#budget.overAge,
      waiting: this.#waiting,
      ...(this.#pressure.words === undefined ? {} : { pressure: this.#pressure.words }),
      unsettled: window.unsettled,
      unsettledBytes: window.unsettledBytes,
      onLadder: this.#out.size,
      merchants: this.#lanes.size,
      shards: this.#parts.shards.stats(),
      slowest: worstLanes(
        this.#lanes.values(),
        this.#ledger.entries(),
        (lane) => this.#gateOf(lane, now) ?? (this.#budget.isFull ? 'budget' : undefined),
        now,
      ),
    };
  }

  #pump(now: number): void {
    if (this.#draining) return;
    this.#now = now;
    while (!this.#budget.isFull) {
      const lane = this.#scheduler.next(this.#mayStart);
      if (lane === undefined) {
        if (this.#budget.hasRoom) this.#parts.source.wantMore();
        return;
      }
      const entry = lane.shift() as Entry;
      this.#waiting--;
      if (now >= entry.delivery.deadlineAt) {
        this.#settle(entry, expiredOutcome(entry), now);
        continue;
      }
      entry.state = 'in-flight';
      entry.startedAt = now;
      entry.era = lane.started(now);
      this.#budget.started(entry);
      this.#containment.started(entry);
      this.#parts.shards.hand(entry);
    }
  }

  readonly #mayStart = (lane: Lane<Entry>): boolean => {
    if (lane.waiting === 0) return false;
    if (this.#gateOf(lane, this.#now) === undefined) return true;
    this.#blocked.add(lane);
    return false;
  };

  /** What keeps a lane's next order from starting, besides that the budget may be full. */
  #gateOf(lane: Lane<Entry>, now: number): Exclude<Gate, 'budget'> | undefined {
    const own = lane.gate(now);
    if (own !== undefined) return own;
    if (!this.#parts.shards.isReady(lane.shard) || !this.#containment.mayStart(lane, now)) return 'shard';
    if (lane.isSuspect && !this.#budget.trustsSuspects) return 'suspect';
    return lane.inFlight >= this.#budget.share ? 'share' : undefined;
  }

  #isBack(key: string): void {
    const out = this.#out.get(key);
    if (out === undefined) return;
    this.#out.delete(key);
    if (out.lane !== undefined) out.lane.out--;
  }

  /**
   * Orders of a lane that stands still do not wait for a turn past their deadlines, nor for so long that the broker would
   * take the channel for dead.
   */
  #expire(lane: Lane<Entry>, now: number): void {
    const heldMs = Math.min(HELD_MS, CONSUMER_TIMEOUT_MS - lane.merchant.timeoutMs);
    const gone = lane.keepOnly(({ delivery, arrivedAt }) => now < delivery.deadlineAt && now - arrivedAt < heldMs);
    this.#waiting -= gone.length;
    for (const entry of gone) {
      const isLate = now >= entry.delivery.deadlineAt;
      const outcome = isLate
        ? expiredOutcome(entry)
        : deferred(lane, this.#gateOf(lane, now), entry.delivery.hop, this.#parts.random(), now);
      this.#settle(entry, outcome, now);
    }
  }

  #leaveFlight(entry: Entry, ending: Ending, now: number): void {
    const { lane } = entry;
    lane.ended(entry.era, entry.startedAt, ending, now);
    if (ending.told === 'answered') this.#budget.answered(lane.shard, now - entry.startedAt);
    this.#budget.ended(entry);
    if (lane.waiting > 0) this.#scheduler.offer(lane);
  }

  #settle(entry: Entry, outcome: Outcome, now: number, blamed = false): void {
    const settlement = outcome.kind === 'delivered' ? ACK : settlementOf(outcome, this.#facts(entry, now, blamed));
    this.#tally.count(outcome, settlement);
    if (settlement !== ACK) this.#report(entry.delivery, outcome, settlement);
    entry.state = 'settling';
    const { delivery } = entry;
    switch (this.#parts.source.settle(delivery, settlement)) {
      case 'settled':
        this.#end(entry, ACK);
        return;
      case 'pending':
        this.#settling.set(delivery, { key: entry.key, entry, settlement });
        if (settlement.kind === 'defer') this.#deferral.published();
        if (settlement.kind === 'defer' || settlement.kind === 'retry') entry.lane.out++;
        return;
      case 'stale':
        // Its channel is gone: the order comes again, and is then settled by what we know.
        this.#ledger.end(entry, settlement);
    }
  }

  /** Gives an order back that was not sent. The broker would mark it as redelivered: possibly sent, for all anybody knows. */
  #release(entry: Entry, now: number): void {
    this.#settle(
      entry,
      { kind: 'deferred', reason: 'shutting down', delayMs: RELEASE_DELAY_MS, atLeastMs: RELEASE_DELAY_MS },
      now,
    );
  }

  #end(entry: Entry, late: Settlement): void {
    this.#ledger.end(entry, late);
    if (entry.twins === undefined) return;
    for (const twin of entry.twins) this.#parts.source.settle(twin, late);
  }

  /** It was not sent, and comes again; what somebody else may have sent is then as uncertain as now. */
  #letGo(entry: Entry): void {
    if (entry.possiblySent) this.#ledger.forget(entry);
    else this.#ledger.end(entry, 'released');
  }

  /** One send, both settled by its outcome. */
  #join(entry: Entry, delivery: Delivery): void {
    this.#tally.joined++;
    if (entry.state !== 'settling' && entry.delivery.epoch < delivery.epoch) {
      entry.delivery = delivery; // the earlier arrival's channel is gone, and cannot be settled any more
      return;
    }
    entry.twins ??= [];
    entry.twins.push(delivery);
  }

  /** Whether an order that may have been sent may be sent once more, by its merchant's policy. */
  #maySendAgain(entry: Entry): boolean {
    const { duplicates, keyWindowMs } = entry.lane.merchant;
    if (duplicates === 'confirm') return this.#options.canConfirm;
    return duplicates === 'idempotent' && this.#parts.clock.wall() < entry.delivery.publishedAt + keyWindowMs;
  }

  /** For what cannot be put in a lane. */
  #refuse(delivery: Delivery, reason: string): void {
    const outcome: Outcome = { kind: 'malformed', reason };
    const settlement: Settlement = { kind: 'dead-letter', reason: 'malformed', detail: reason };
    this.#tally.count(outcome, settlement);
    this.#report(delivery, outcome, settlement);
    const settled = this.#parts.source.settle(delivery, settlement);
    if (settled === 'pending') this.#settling.set(delivery, { key: keyOf(delivery), entry: undefined, settlement });
  }

  #facts(entry: Entry, now: number, blamed: boolean): Facts {
    const { delivery } = entry;
    const { clock, random } = this.#parts;
    const { merchant } = entry.lane;
    const wall = clock.wall();
    return {
      attempt: delivery.attempt,
      maxAttempts: this.#options.maxAttempts,
      crashes: delivery.crashes + (blamed ? 1 : 0),
      maxCrashes: this.#options.maxCrashes,
      confirmFirst: entry.confirmFirst,
      duplicates: merchant.duplicates,
      canConfirm: this.#options.canConfirm,
      keyLeftMs: delivery.publishedAt + merchant.keyWindowMs - wall,
      leftMs: delivery.deadlineAt - now,
      backoffMs: this.#options.backoffMs,
      backoffMaxMs: this.#options.backoffMaxMs,
      wall,
      random: random(),
    };
  }

  #report(delivery: Delivery, outcome: Outcome, settlement: Settlement): void {
    const fields = {
      merchant: delivery.merchantId,
      order: delivery.orderId,
      identity: delivery.identity,
      attempt: delivery.attempt,
      outcome: outcome.kind,
    };
    const { log } = this.#parts;
    if (settlement.kind === 'dead-letter')
      log.warn({ ...fields, reason: settlement.reason, detail: settlement.detail }, 'dead-lettered');
    else if (settlement.kind === 'park')
      log.warn({ ...fields, detail: settlement.detail }, 'parked for a person to decide');
    else if (settlement.kind !== 'ack')
      log.debug({ ...fields, reason: settlement.reason, delayMs: settlement.delayMs }, settlement.kind);
  }

  #laneOf(merchantId: string): Lane<Entry> | undefined {
    const lane = this.#lanes.get(merchantId);
    if (lane !== undefined) return lane.isGone ? undefined : lane;
    const merchant = this.#parts.directory.find(merchantId);
    if (merchant === undefined) return undefined;
    const fresh = new Lane<Entry>(merchant, this.#parts.shards.shardOf(merchantId));
    this.#lanes.set(merchantId, fresh);
    return fresh;
  }

  #offerQuarantined(): void {
    for (const lane of this.#containment.quarantined) {
      if (lane.waiting > 0) this.#scheduler.offer(lane);
    }
  }
}

function expiredOutcome({ possiblySent, delivery }: Entry): Outcome {
  const before = possiblySent || delivery.attempt > 1 ? '; an earlier attempt may have arrived' : '';
  return { kind: 'expired', reason: `its deadline passed before it could be sent${before}` };
}

/** What an attempt tells of the merchant: an answer is an answer, whatever it says; what our own side came to tells nothing. */
function endingOf(outcome: ThreadOutcome): Ending {
  const { kind } = outcome;
  if (kind === 'throttled') return { told: 'answered', overloaded: true, retryAfterMs: outcome.retryAfterMs };
  if (kind === 'delivered' || kind === 'rejected' || ('status' in outcome && outcome.status !== undefined))
    return ANSWERED;
  return kind === 'not-sent' || kind === 'ambiguous' ? FAILED : NEITHER;
}
