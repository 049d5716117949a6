import type { Delivery, Window } from '../broker/source.ts';
import type { Lane, Waiting } from '../lane/lane.ts';
import type { Outcome } from '../outcome.ts';
import type { Gate } from '../stats.ts';
import { shareOf } from './budget.ts';
import { silentMs } from './catching-up.ts';

/** The part of the window that merchants that stand still leave free, for deferrals whose confirm has not come. */
const KEPT = 0.1;
/** More of them at once only wait for each other, and what is published for other merchants waits behind them. */
const UNCONFIRMED_MOST = 1_000;
/**
 * What a merchant may hold, for each part of the window that is free: one that answers will soon have given it back, and a
 * hop costs as much as a delivery; one that stands still will not.
 */
const ALPHA = 4;
const ALPHA_STANDING = 1;
/** What keeps a merchant's orders for longer than others take to be served. */
const STANDS: ReadonlySet<Gate | undefined> = new Set(['pause', 'breaker', 'hold', 'rate', 'shard', 'slow']);
/**
 * How long an order is deferred for, where that has to be guessed: for as long as its merchant has been silent already, so that
 * it seldom comes back in vain, and for a backlog for twice as long at most. Never for less than this, which doubles with each
 * hop, and never for more than a minute or so.
 */
const AWAY_MS = 8_000;
const AWAY_MAX_MS = 64_000;
/** What a guess leaves of the time to the deadline, when the ladder has made up to twice as much of it. */
const LEFT = 1 / 4;
/** An operator's pause may last, and every hop is work for the broker. */
const PAUSED_MAX_MS = 512_000;
/** With less time to its deadline an order is not deferred: no rung would bring it back in time. */
export const LEAST_LEFT_MS = 2_000;

/** Who may wait in the window, and for how long the others are sent away. */
export class Deferral {
  #unconfirmed = 0;

  published(): void {
    this.#unconfirmed++;
  }

  confirmed(): void {
    this.#unconfirmed--;
  }

  /** Whether an order that cannot start at once may not wait here: its merchant holds its share of the window. */
  isDue<T extends Waiting>(
    lane: Lane<T>,
    gate: Gate | undefined,
    bytes: number,
    leftMs: number,
    window: Window,
  ): boolean {
    // Else it waits here, where it may yet get its turn, and at worst the broker has to wait with it.
    if (this.#confirmable(window) <= 0 || window.isBlocked || leftMs < LEAST_LEFT_MS) return false;
    const stands = standsStill(lane, gate);
    if (lane.waiting + lane.inFlight >= shareOfOrders(lane, stands, window)) return true;
    const most = shareOfBytes(stands, window);
    if (stands && most === 0) return true;
    return lane.waiting > 0 && lane.waitingBytes + bytes > most;
  }

  /** How many of its waiting orders a lane is to give up, when it has come to stand still with more than its share. */
  excess<T extends Waiting>(lane: Lane<T>, gate: Gate | undefined, window: Window): number {
    if (window.isBlocked || !standsStill(lane, gate)) return 0;
    const over = lane.waiting + lane.inFlight - shareOfOrders(lane, true, window);
    const overBytes = lane.waitingBytes - shareOfBytes(true, window);
    // Those of a merchant are much alike in size; what that gets wrong is made up for the next time.
    const large = Math.ceil((overBytes * lane.waiting) / Math.max(1, lane.waitingBytes));
    return Math.max(0, Math.min(Math.max(over, large), lane.waiting, this.#confirmable(window)));
  }

  /** How many more may leave before a confirm comes. */
  #confirmable(window: Window): number {
    return Math.max(1, Math.min(UNCONFIRMED_MOST, Math.floor(window.capacity * KEPT))) - this.#unconfirmed;
  }
}

/** How many orders a lane may hold, in flight and waiting. */
function shareOfOrders<T extends Waiting>(lane: Lane<T>, stands: boolean, window: Window): number {
  const share = shareOfRoom(stands, window.capacity, window.unsettled);
  // When the process dies, each of them may have been sent, and a person has to look.
  return lane.merchant.duplicates === 'never' ? Math.min(share, 2 * lane.limit.value) : share;
}

/** How many bytes those of its orders may have that wait. */
function shareOfBytes(stands: boolean, window: Window): number {
  return shareOfRoom(stands, window.capacityBytes, window.unsettledBytes);
}

function shareOfRoom(stands: boolean, capacity: number, used: number): number {
  const free = capacity * (stands ? 1 - KEPT : 1) - used;
  if (stands && free <= 0) return 0;
  return shareOf(free, stands ? ALPHA_STANDING : ALPHA);
}

function standsStill<T extends Waiting>(lane: Lane<T>, gate: Gate | undefined): boolean {
  return lane.isHanging || STANDS.has(gate);
}

/** How often an order has been sent away: its other hops were attempts. */
function hopsOf({ hop, attempt }: Pick<Delivery, 'hop' | 'attempt'>): number {
  return Math.max(0, hop - (attempt - 1));
}

/** What it serves a second is a guess, and it catches up at a pace that depends on the others: the next guess is no better. */
function isBackInVain<T extends Waiting>(lane: Lane<T>, gate: Gate | undefined, hops: number): boolean {
  return lane.catchesUp && hops > 0 && gate !== 'hold' && gate !== 'rate';
}

/**
 * Sends an order away for as long as its lane has others to serve, those on the ladder included, or cannot serve. What is
 * guessed of that has jitter, so that they do not all come back at once, and leaves a part of the time to its deadline.
 */
export function deferred<T extends Waiting>(
  lane: Lane<T>,
  gate: Gate | undefined,
  delivery: Pick<Delivery, 'hop' | 'attempt'>,
  leftMs: number,
  random: number,
  now: number,
): Outcome {
  const hops = hopsOf(delivery);
  const away =
    lane.isHanging || gate === 'pause' || gate === 'breaker' || gate === 'suspect' || isBackInVain(lane, gate, hops);
  const doublings = 2 ** Math.min(hops, 10);
  const silence = Math.min(silentMs(lane, now), AWAY_MAX_MS);
  // It may be answering again, after that.
  const unansweredMs = Math.min(silence, now - lane.answeredAt);
  // How many it serves a second may be wrong.
  const mostBehindMs = Math.min(AWAY_MAX_MS, Math.max(AWAY_MS * doublings, 2 * silence));
  const behindMs = Math.min(((lane.waiting + lane.out) * 1000) / lane.servesPerSecond, mostBehindMs);
  const awayMs = Math.min(gate === 'pause' ? PAUSED_MAX_MS : AWAY_MAX_MS, Math.max(AWAY_MS * doublings, unansweredMs));
  const guessedMs = Math.min(Math.max(behindMs, away ? awayMs : 0) * (1 - random / 4), (leftMs * (1 - LEFT)) / 2);
  const delayMs = Math.max(lane.opensAt(now) - now, guessedMs);
  const reason = `its merchant has ${lane.waiting} waiting${gate === undefined ? '' : ` (${gate})`}`;
  return { kind: 'deferred', reason, delayMs, atLeastMs: 0 };
}
