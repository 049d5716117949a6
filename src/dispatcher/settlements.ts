import type { Delivery, Source } from '../broker/source.ts';
import type { Clock } from '../clock.ts';
import { ACK, type Outcome, type OutcomeEvent, type Settlement } from '../outcome.ts';
import type { Deferral } from './deferral.ts';
import { type Entry, expired, isPossiblySent, keyOf, Ledger } from './ledger.ts';
import { OnLadder } from './on-ladder.ts';
import { isNextSuspicious, isSuspicious } from './returns.ts';
import { type Facts, settlementOf } from './settlement.ts';
import { Tally } from './tally.ts';

export interface SettlementOptions {
  readonly maxAttempts: number;
  readonly maxCrashes: number;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** Whether the loaded handler has a `confirm`. */
  readonly canConfirm: boolean;
  /** Of what the source is to tell others: nothing, each order's end, or each attempt's as well. */
  readonly outcomes: 'off' | 'final' | 'all';
}

export interface SettlementParts {
  readonly source: Pick<Source, 'settle'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/** A settlement that is not durable yet. What was refused, and a late twin, has no entry. */
interface Settling {
  readonly key: string;
  readonly entry: Entry | undefined;
  readonly settlement: Settlement;
  /** Further arrivals of a copy without an entry. */
  twins: Delivery[] | undefined;
}

const RELEASE_DELAY_MS = 1000;

/** The end of every delivery: what is in hand, how each is settled, and what is remembered of it for late twins. */
export class Settlements {
  readonly tally: Tally = new Tally();
  readonly ledger: Ledger = new Ledger();
  readonly ladder: OnLadder = new OnLadder();
  readonly #options: SettlementOptions;
  readonly #parts: SettlementParts;
  readonly #deferral: Deferral;
  readonly #settling = new Map<Delivery, Settling>();
  /** Those of them without an entry, by key: the ledger does not know that they are in hand. */
  readonly #apart = new Map<string, Delivery>();

  constructor(options: SettlementOptions, parts: SettlementParts, deferral: Deferral) {
    this.#options = options;
    this.#parts = parts;
    this.#deferral = deferral;
  }

  /** How many are not durable yet. */
  get pending(): number {
    return this.#settling.size;
  }

  /**
   * One send for all arrivals of a copy: a redelivery of one in hand is settled by its outcome, the late twin of a settled one
   * at once. `released` means that the earlier arrival was given back and never sent.
   */
  joins(key: string, delivery: Delivery): 'joined' | 'released' | 'new' {
    if (delivery.identity === '') return 'new'; // it could not be read
    const entry = delivery.malformed === undefined ? this.ledger.sameCopy(key, delivery) : undefined;
    if (entry !== undefined) {
      this.#join(entry, delivery);
      return 'joined';
    }
    if (this.#joinsApart(key, delivery)) return 'joined';
    const late = this.ledger.lateTwin(key, delivery);
    if (late === undefined || late === 'released') return late ?? 'new';
    this.tally.joined++;
    this.#settleApart(key, delivery, late);
    return 'joined';
  }

  settle(entry: Entry, outcome: Outcome, now: number, blamed = false): void {
    const decided = outcome.kind === 'delivered' ? ACK : settlementOf(outcome, this.#facts(entry, now, blamed));
    const told = this.#isTold(decided) ? { ...decided, event: this.#eventOf(entry, outcome, now) } : decided;
    const settlement = mark(told, entry.possiblySent || outcome.kind === 'ambiguous');
    this.tally.count(outcome, settlement);
    if (settlement.kind !== 'ack') this.#report(entry.delivery, outcome, settlement);
    entry.state = 'settling';
    const { delivery } = entry;
    switch (this.#parts.source.settle(delivery, settlement)) {
      case 'settled':
        this.#ended(delivery);
        this.#end(entry, ACK);
        return;
      case 'pending':
        this.#settling.set(delivery, { key: entry.key, entry, settlement, twins: undefined });
        if (settlement.kind === 'defer') this.#deferral.published();
        if (settlement.kind === 'defer' || settlement.kind === 'retry') entry.lane.out++;
        return;
      case 'stale':
        // Its channel is gone: the order comes again, and is then settled by what we know.
        this.ledger.end(entry, settlement);
    }
  }

  /** For what cannot be put in a lane; `isNew` when this process never had the copy before. */
  refuse(delivery: Delivery, reason: string, isNew: boolean): void {
    const outcome: Outcome = { kind: 'malformed', reason };
    const decided: Settlement = { kind: 'dead-letter', reason: 'malformed', detail: reason };
    const wall = this.#parts.clock.wall();
    const event = { outcome, receivedAt: wall, endedAt: wall };
    const told = this.#isTold(decided) ? { ...decided, event } : decided;
    const settlement = mark(told, isPossiblySent(delivery, isNew));
    this.tally.count(outcome, settlement);
    this.#report(delivery, outcome, settlement);
    this.#settleApart(keyOf(delivery), delivery, settlement);
  }

  /** Gives an order back that was not sent. The broker would mark it as redelivered: possibly sent, for all anybody knows. */
  release(entry: Entry, now: number): void {
    const [delayMs, atLeastMs] = [RELEASE_DELAY_MS, RELEASE_DELAY_MS];
    this.settle(entry, { kind: 'deferred', reason: 'shutting down', delayMs, atLeastMs }, now);
  }

  /** It was not sent, and comes again; what somebody else may have sent is then as uncertain as now. */
  letGo(entry: Entry): void {
    // What carries that with it needs no such care, and the rest of what is known of it must not be lost.
    const { delivery } = entry;
    const isUncertain = entry.possiblySent && !delivery.possiblySent && !isSuspicious(delivery);
    // Before it is here again, another process may have had it, asked, sent it and died. To ask once more costs no send.
    const isAskedFor = entry.lane.merchant.duplicates === 'confirm' && this.#options.canConfirm;
    if (isUncertain || isAskedFor) this.ledger.forget(entry);
    else this.ledger.end(entry, 'released');
  }

  /** A settlement that was pending is durable. */
  settled(delivery: Delivery): void {
    const ended = this.#settling.get(delivery);
    if (ended === undefined) return;
    this.#settling.delete(delivery);
    const { key, entry, settlement, twins = [] } = ended;
    if (this.#apart.get(key) === delivery) this.#apart.delete(key);
    if (settlement.kind !== 'retry' && settlement.kind !== 'defer') this.#ended(delivery);
    if (settlement.kind === 'defer' && entry !== undefined) this.#deferral.confirmed();
    if (settlement.kind === 'retry' || settlement.kind === 'defer') {
      const next = { identity: delivery.identity, hop: delivery.hop + 1 };
      const nextKey = keyOf(next);
      this.ladder.put(nextKey, entry?.lane, settlement.delayMs, this.#parts.clock.now());
      // It may have come back already, when the first confirm was lost and it was published twice.
      if (this.ledger.knows(next)) this.ladder.isBack(nextKey);
    }
    if (entry === undefined) this.ledger.remember(key, delivery, ACK);
    else this.#end(entry, ACK);
    for (const twin of twins) this.#parts.source.settle(twin, ACK);
  }

  /** What comes of an order in place of a send, as it stands now; undefined when it may be sent. */
  insteadOfSend(entry: Entry, now: number): Outcome | undefined {
    if (now >= entry.delivery.deadlineAt) return expired(entry);
    return entry.possiblySent ? this.#uncertain(entry) : undefined;
  }

  /** What comes of an order that has just arrived in place of waiting for its turn: whatever happened until then, it would not be sent, or not yet. */
  insteadOfWait(entry: Entry, now: number): Outcome | undefined {
    const { deadlineAt, notBeforeAt } = entry.delivery;
    const uncertain = entry.possiblySent ? this.#uncertain(entry) : undefined;
    if (uncertain !== undefined) return uncertain;
    if (now >= deadlineAt) return expired(entry);
    const delayMs = notBeforeAt - now;
    return delayMs > 0 ? { kind: 'deferred', reason: 'its time has not come', delayMs, atLeastMs: delayMs } : undefined;
  }

  /** What comes of an order that may have been sent, where its merchant's policy is not to send it once more. */
  #uncertain({ lane, delivery }: Entry): Outcome | undefined {
    const { duplicates, keyWindowMs } = lane.merchant;
    if (duplicates === 'confirm' && this.#options.canConfirm) return undefined;
    if (duplicates === 'idempotent' && this.#parts.clock.wall() < delivery.publishedAt + keyWindowMs) return undefined;
    const reason = delivery.possiblySent
      ? 'an earlier attempt may have arrived'
      : 'redelivered, and nobody knows whether it was sent';
    return { kind: 'ambiguous', reason };
  }

  /**
   * Whether an order that was not sent may go back to the broker as it is, which counts it as having come back, and perhaps as sent:
   * only where it may be sent again all the same, for as long as it lives.
   */
  mayComeBack({ lane, delivery }: Entry, now: number): boolean {
    const { duplicates, keyWindowMs } = lane.merchant;
    if (duplicates !== 'idempotent' || isNextSuspicious(delivery)) return false;
    return delivery.deadlineAt - now <= delivery.publishedAt + keyWindowMs - this.#parts.clock.wall();
  }

  /** It comes again while its dead letter is being published: even if it could be sent by now, it has its end. */
  #joinsApart(key: string, delivery: Delivery): boolean {
    const earlier = this.#apart.get(key);
    if (earlier?.fingerprint !== delivery.fingerprint) return false;
    const settling = this.#settling.get(earlier) as Settling;
    settling.twins = withTwin(settling.twins, delivery);
    this.tally.joined++;
    return true;
  }

  /** For what has no entry: it could not be put in a lane, or it is the late twin of what has ended. */
  #settleApart(key: string, delivery: Delivery, settlement: Settlement): void {
    if (this.#parts.source.settle(delivery, settlement) !== 'pending') return;
    this.#settling.set(delivery, { key, entry: undefined, settlement, twins: undefined });
    if (delivery.identity !== '') this.#apart.set(key, delivery);
  }

  #join(entry: Entry, delivery: Delivery): void {
    this.tally.joined++;
    if (entry.state !== 'settling' && entry.delivery.epoch < delivery.epoch) {
      entry.delivery = delivery; // the earlier arrival's channel is gone, and cannot be settled any more
      return;
    }
    entry.twins = withTwin(entry.twins, delivery);
  }

  #end(entry: Entry, late: Settlement): void {
    this.ledger.end(entry, late);
    if (entry.twins === undefined) return;
    for (const twin of entry.twins) this.#parts.source.settle(twin, late);
  }

  /** An order that goes away without an attempt has nothing to tell. */
  #isTold({ kind }: Settlement): boolean {
    const { outcomes } = this.#options;
    return outcomes !== 'off' && kind !== 'defer' && (kind !== 'retry' || outcomes === 'all');
  }

  #eventOf({ state, arrivedAt, startedAt }: Entry, outcome: Outcome, now: number): OutcomeEvent {
    const wall = this.#parts.clock.wall();
    const attempted = state === 'in-flight' ? { startedAt: wall - (now - startedAt) } : {};
    return { outcome, receivedAt: wall - (now - arrivedAt), ...attempted, endedAt: wall };
  }

  #ended({ publishedAt }: Delivery): void {
    this.tally.settled.observe(this.#parts.clock.wall() - publishedAt);
  }

  #facts(entry: Entry, now: number, blamed: boolean): Facts {
    const { delivery } = entry;
    const { merchant } = entry.lane;
    const wall = this.#parts.clock.wall();
    return {
      ...this.#options,
      attempt: delivery.attempt,
      crashes: delivery.crashes + (blamed ? 1 : 0),
      returns: entry.returns,
      confirmFirst: entry.confirmFirst,
      duplicates: merchant.duplicates,
      keyLeftMs: delivery.publishedAt + merchant.keyWindowMs - wall,
      leftMs: delivery.deadlineAt - now,
      wall,
      random: this.#parts.random(),
    };
  }

  #report(delivery: Delivery, outcome: Outcome, settlement: Settlement): void {
    const fields = {
      merchant: delivery.merchantId,
      order: delivery.orderId,
      identity: delivery.identity,
      attempt: delivery.attempt,
      hop: delivery.hop,
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
}

function mark(settlement: Settlement, isPossiblySent: boolean): Settlement {
  return isPossiblySent && settlement.kind !== 'ack' ? { ...settlement, possiblySent: true } : settlement;
}

/**
 * Those of a channel that is gone cannot be settled any more: while the broker takes no messages, as many again would gather with
 * each connection.
 */
function withTwin(twins: Delivery[] | undefined, twin: Delivery): Delivery[] {
  const [first] = twins ?? [];
  if (twins === undefined || first === undefined || first.epoch < twin.epoch) return [twin];
  twins.push(twin);
  return twins;
}
