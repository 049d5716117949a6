import type { Lane, Waiting } from '../lane/lane.ts';
import type { Gate } from '../stats.ts';
import type { Entry } from './ledger.ts';

/** Gates that hold a merchant's orders for longer than others wait, and then let all of them go. */
const LEFT_BEHIND: ReadonlySet<Gate> = new Set(['pause', 'breaker', 'hold', 'slow']);
/** So long a merchant has to hang before what waits counts as left behind. */
const HANGS_MS = 2_000;
/** One that has not been seen to stand still for so long has begun to anew. */
const AFRESH_MS = 10_000;
/** After so long what is on the ladder are retries, of which a busy merchant always has some. */
const LONGEST_MS = 64_000;

/** A gate holds the lane: what waits now, and what is sent away, is not to delay the others when it starts. */
export function noteStandstill<T extends Waiting>(
  lane: Lane<T>,
  gate: Gate,
  budget: { isSlow(lane: Lane<T>): boolean },
  now: number,
): void {
  // While its thread stands still, all of its merchants seem to hang.
  if (gate === 'shard' || !(LEFT_BEHIND.has(gate) || budget.isSlow(lane) || hangsForLong(lane, now))) return;
  if (!lane.catchesUp || now - lane.stoodAt > AFRESH_MS) lane.stoodFrom = now;
  lane.catchesUp = true;
  lane.stoodAt = now;
}

/** For a moment every merchant may seem to hang: when the machine stops, and when a thread is busy. */
function hangsForLong<T extends Waiting>(lane: Lane<T>, now: number): boolean {
  if (!lane.isHanging) return false;
  lane.hangsSince ??= now;
  return now - lane.hangsSince >= HANGS_MS;
}

/** An order of the lane has left it to be started. */
export function noteProgress(lane: Lane<Entry>, now: number): void {
  if (lane.hangsSince !== undefined && !lane.isHanging) lane.hangsSince = undefined;
  if (!lane.catchesUp || lane.waiting > 0) return;
  if (lane.out === 0 || now - lane.stoodAt > LONGEST_MS) lane.catchesUp = false;
}
