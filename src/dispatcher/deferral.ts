import type { Window } from '../broker/source.ts';
import type { Lane, Waiting } from '../lane/lane.ts';
import type { Outcome } from '../outcome.ts';
import type { Gate } from '../stats.ts';
import { shareOf } from './budget.ts';

/** The part of the window that merchants that hang leave free, for deferrals whose confirm has not come. */
const KEPT = 0.1;
/**
 * What a merchant may hold, for each part of the window that is free: one that answers will soon have given it back, and a
 * hop costs as much as a delivery; one that hangs will not.
 */
const ALPHA = 4;
const ALPHA_HANGING = 1 / 8;
/** How long an order of a merchant that does not answer is deferred for, at first; doubles with each hop. */
const AWAY_MS = 8_000;
const AWAY_MAX_MS = 64_000;
/** The longest deferral for a backlog at first, because what it rests on may be wrong; doubles with each hop. */
const BEHIND_MS = 8_000;
/** With less time to its deadline an order is not deferred: no rung would bring it back in time. */
const LEAST_LEFT_MS = 2_000;

export interface Room {
  readonly prefetch: number;
  readonly windowBytes: number;
}

/** Who may wait in the window, and for how long the others are sent away. */
export class Deferral {
  readonly #room: Room;
  #unconfirmed = 0;

  constructor(room: Room) {
    this.#room = room;
  }

  published(): void {
    this.#unconfirmed++;
  }

  confirmed(): void {
    this.#unconfirmed--;
  }

  /** Whether an order that cannot start at once may not wait here: its merchant holds its share of the window. */
  isDue<T extends Waiting>(lane: Lane<T>, bytes: number, leftMs: number, window: Window): boolean {
    const { prefetch, windowBytes } = this.#room;
    // Else it waits here, and at worst the broker has to wait with it.
    if (this.#unconfirmed >= prefetch * KEPT || leftMs < LEAST_LEFT_MS) return false;
    const [part, alpha] = lane.isHanging ? [1 - KEPT, ALPHA_HANGING] : [1, ALPHA];
    let share = shareOf(prefetch * part - window.unsettled, alpha);
    // When the process dies, each of them may have been sent, and a person has to look.
    if (lane.merchant.duplicates === 'never') share = Math.min(share, 2 * lane.limit.value);
    if (lane.waiting + lane.inFlight >= share) return true;
    const free = windowBytes * part - window.unsettledBytes;
    return lane.waiting > 0 && lane.waitingBytes + bytes > shareOf(free, alpha);
  }
}

/**
 * Sends an order away for as long as its lane has others to serve, those on the ladder included, or cannot serve. With
 * jitter, so that they do not all come back at once.
 */
export function deferred<T extends Waiting>(
  lane: Lane<T>,
  gate: Gate | undefined,
  hop: number,
  random: number,
  now: number,
): Outcome {
  const away = lane.isHanging || gate === 'pause' || gate === 'breaker' || gate === 'suspect';
  const doublings = 2 ** Math.min(hop, 10);
  const delayMs = Math.max(
    lane.opensAt(now) - now,
    Math.min(((lane.waiting + lane.out) * 1000) / lane.servesPerSecond, BEHIND_MS * doublings),
    away ? Math.min(AWAY_MAX_MS, AWAY_MS * doublings) : 0,
  );
  const reason = `its merchant has ${lane.waiting} waiting${gate === undefined ? '' : ` (${gate})`}`;
  return { kind: 'deferred', reason, delayMs: delayMs * (1 - random / 4), atLeastMs: 0 };
}
