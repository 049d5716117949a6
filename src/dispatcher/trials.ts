import type { Gate } from '../stats.ts';
import type { Delivery } from '../broker/source.ts';
import { deferred } from './deferral.ts';
import type { Gates } from './gates.ts';
import type { Entry } from './ledger.ts';
import { isCondemned, isSuspicious, isToRunAlone, lostAlone } from './returns.ts';
import type { SettlementParts, Settlements } from './settlements.ts';

export interface TrialParts extends Pick<SettlementParts, 'random' | 'log'> {
  readonly settlements: Pick<Settlements, 'settle' | 'release' | 'letGo' | 'insteadOfSend'>;
}

/** How many suspicious orders may be in flight beside each other: as many as can then be tried one by one. */
const AT_ONCE = 100;
/** How long they are gathered for: what comes with them must be out of our hands before one of them may end the process. */
const GATHER_MS = 100;
/** How long a lone order waits for what is in flight to end; what hangs must not keep it for ever. */
const QUIET_MS = 1_000;
/** How long it waits for the others to be out of our hands, which takes confirms. */
const GIVE_UP_MS = 5_000;
/** How long nothing else starts because of it: its merchant may hang, and the others' orders are due. */
const ALONE_MS = 5_000;
/** The shortest rung, for a fresh copy. */
const AWAY_MS = 1_000;
/**
 * Those for whom there was no room go to one of so many rungs by chance: what went away together would come back together,
 * and only a few of them would find room each time.
 */
const RUNGS_ALONE = 3;
const RUNGS_AMONG_FEW = 5;
/** An order that was lost alone goes a rung higher each time, up to this one, so that others come first. */
const RUNGS_LOST = 4;

interface Waiting {
  readonly entry: Entry;
  readonly since: number;
}

type State =
  | { readonly kind: 'free' }
  /** A lone order waits for the others to end, or to be out of our hands. */
  | ({ readonly kind: 'waiting' } & Waiting)
  | ({ readonly kind: 'alone' } & Waiting);

/**
 * Finds the order that processes die of, and keeps the others from paying for it. A process that dies leaves nothing but the
 * broker's count of how often each message has come back, and all that it held has come back. So an order that has done
 * so three times is put out for a trial: a fresh copy says how often it has come back, and of these few run beside each other. One
 * whose copy comes back again runs alone. Then at the next death one order's count rises, and one that has been lost alone
 * often enough is dead-lettered. An attempt that comes back, whatever it came to, ends the trial. Those that were lost alone less
 * often go first, so that whoever kills processes again and again hits another order each time, and not one until it is condemned.
 */
export class Trials {
  readonly #maxCrashes: number;
  readonly #parts: TrialParts;
  #state: State = { kind: 'free' };
  /** Those that are to run among few, and have not started yet. */
  #few: Waiting[] = [];
  /** Suspicious orders in flight, the lone one not counted. */
  #beside = 0;
  /** Those sent away that are still ours until their confirm comes. */
  readonly #leaving = new Set<Delivery>();
  /** Channels up to this epoch are gone. */
  #lostEpoch = 0;

  constructor({ maxCrashes }: { readonly maxCrashes: number }, parts: TrialParts) {
    this.#maxCrashes = maxCrashes;
    this.#parts = parts;
  }

  /** Nothing else may start. */
  holdsOthers(now: number): boolean {
    const state = this.#state;
    return state.kind === 'waiting' || (state.kind === 'alone' && now - state.since < ALONE_MS);
  }

  /** A suspicious order has come: it waits here until it is due, or is settled. */
  received(entry: Entry, now: number): void {
    const { settlements, log } = this.#parts;
    const { lane, delivery, returns } = entry;
    const state = this.#state;
    if (isCondemned(returns, this.#maxCrashes)) {
      settlements.settle(entry, { kind: 'ambiguous', reason: 'its process ended' }, now);
      return;
    }
    if (returns > delivery.returns) {
      log.warn(
        { merchant: lane.merchantId, order: delivery.orderId, returns },
        `an order has come back ${returns} times: a process may have died of it, and it is to run ${manner(entry)}`,
      );
      this.#sendAway(entry, now);
    } else if (!isToRunAlone(entry) && state.kind === 'free' && this.#few.length + this.#beside < AT_ONCE) {
      this.#few.push({ entry, since: now });
    } else if (isToRunAlone(entry) && state.kind === 'free' && this.#beside === 0) {
      // Not beside suspicious ones in flight: what the process died of then would count against this one too.
      this.#state = { kind: 'waiting', entry, since: now };
    } else if (isToRunAlone(entry) && state.kind === 'waiting' && returns < state.entry.returns) {
      this.#state = { ...state, entry };
      this.#sendAway(state.entry, now);
    } else this.#sendAway(entry, now);
  }

  /** The orders that are to start now. */
  *due(gates: Pick<Gates, 'ofTrial'>, inFlight: number, now: number): Generator<Entry> {
    // A confirm that does not come must not keep them waiting: being among few condemns nobody.
    const gatherMs = this.#leaving.size === 0 ? GATHER_MS : GIVE_UP_MS;
    while (this.#state.kind === 'free' && now - (this.#few[0]?.since ?? now) >= gatherMs) {
      const { entry } = this.#few.shift() as Waiting;
      if (this.#mayStart(entry, gates.ofTrial(entry.lane, now), now)) yield entry;
    }
    const state = this.#state;
    if (state.kind !== 'waiting') return;
    const waitedMs = now - state.since;
    // A confirm that does not come must not keep everybody waiting; this one goes the way of the others.
    if (this.#leaving.size > 0 && waitedMs >= GIVE_UP_MS) {
      this.#state = { kind: 'free' };
      this.#sendAway(state.entry, now);
    } else if (this.#leaving.size === 0 && waitedMs >= (inFlight === 0 ? GATHER_MS : QUIET_MS)) {
      if (this.#mayStart(state.entry, gates.ofTrial(state.entry.lane, now), now)) yield state.entry;
      else {
        this.#state = { kind: 'free' };
        this.#leave(state.entry.delivery); // the next must not be tried while this one is still here
      }
    }
  }

  started(entry: Entry, now: number): void {
    const state = this.#state;
    if (state.kind === 'waiting' && state.entry === entry) this.#state = { kind: 'alone', entry, since: now };
    else if (isSuspicious(entry)) this.#beside++;
  }

  /** It is not in flight any more. */
  ended(entry: Entry): void {
    const state = this.#state;
    if (state.kind === 'alone' && state.entry === entry) this.#state = { kind: 'free' };
    else if (isSuspicious(entry)) this.#beside--;
  }

  /** Its next copy is durable. */
  settled(delivery: Delivery): void {
    this.#leaving.delete(delivery);
  }

  /** The channel of this epoch is gone: what waits here will come again. */
  lost(epoch: number): void {
    this.#lostEpoch = Math.max(this.#lostEpoch, epoch);
    for (const entry of this.#takeWaiting(({ delivery }) => delivery.epoch <= epoch)) {
      this.#parts.settlements.letGo(entry);
    }
    for (const delivery of this.#leaving) if (delivery.epoch <= epoch) this.#leaving.delete(delivery);
  }

  drain(now: number): void {
    for (const entry of this.#takeWaiting(() => true)) this.#parts.settlements.release(entry, now);
  }

  /** Nobody tells the end of one whose channel is gone. Deliveries that were read with that channel's end come after it. */
  #leave(delivery: Delivery): void {
    if (delivery.epoch > this.#lostEpoch) this.#leaving.add(delivery);
  }

  #takeWaiting(which: (entry: Entry) => boolean): Entry[] {
    const taken = this.#few.filter(({ entry }) => which(entry)).map(({ entry }) => entry);
    this.#few = this.#few.filter(({ entry }) => !which(entry));
    const state = this.#state;
    if (state.kind === 'waiting' && which(state.entry)) {
      this.#state = { kind: 'free' };
      taken.push(state.entry);
    }
    return taken;
  }

  /** Whether nothing but other trials is in its way; it is settled when something is. */
  #mayStart(entry: Entry, gate: Gate | undefined, now: number): boolean {
    const { settlements, random } = this.#parts;
    const { lane, delivery } = entry;
    const instead = settlements.insteadOfSend(entry, now);
    if (instead === undefined && gate === undefined) return true;
    const leftMs = delivery.deadlineAt - now;
    settlements.settle(entry, instead ?? deferred(lane, gate, delivery, leftMs, random(), now), now);
    return false;
  }

  /** For a fresh copy, or because others are tried. */
  #sendAway(entry: Entry, now: number): void {
    const { settlements, random } = this.#parts;
    const isFresh = entry.returns === entry.delivery.returns;
    const rungs = isToRunAlone(entry) ? RUNGS_ALONE : RUNGS_AMONG_FEW;
    const rung = isFresh ? Math.floor(random() * rungs) : Math.min(lostAlone(entry.returns), RUNGS_LOST);
    const delayMs = AWAY_MS * 2 ** rung;
    const reason = `it has come back ${entry.returns} times, and is to run ${manner(entry)}; it may have been sent`;
    this.#leave(entry.delivery);
    settlements.settle(entry, { kind: 'deferred', reason, delayMs, atLeastMs: 0 }, now);
  }
}

function manner(entry: Entry): string {
  return isToRunAlone(entry) ? 'alone' : 'among few';
}
