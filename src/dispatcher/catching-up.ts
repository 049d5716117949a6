import type { Lane, Waiting } from '../lane/lane.ts';
import type { Gate } from '../stats.ts';
import type { Entry } from './ledger.ts';

/** Gates that hold a merchant's orders for longer than others wait, and then let all of them go. */
const LEFT_BEHIND: ReadonlySet<Gate> = new Set(['pause', 'breaker', 'hold', 'slow']);
/** So long a merchant has to hang, or asks to be left alone, before what waits counts as left behind. */
const HANGS_MS = 2_000;
/** What keeps a merchant from answering anybody. */
const SILENT: ReadonlySet<Gate> = new Set(['pause', 'breaker']);
/** One that was not seen to be silent for so long has begun to be so anew. */
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
  if (gate === 'shard') return;
  const hangs = hangsForLong(lane, now);
  if (hangs || SILENT.has(gate)) noteSilence(lane, now);
  if (!hangs && !leavesBehind(lane, gate, now) && !budget.isSlow(lane)) return;
  lane.catchesUp = true;
  lane.stoodAt = now;
}

function leavesBehind<T extends Waiting>(lane: Lane<T>, gate: Gate, now: number): boolean {
  if (gate === 'hold' && !lane.catchesUp && lane.holdUntil - now < HANGS_MS) return false;
  return LEFT_BEHIND.has(gate);
}

function noteSilence<T extends Waiting>(lane: Lane<T>, now: number): void {
  if (now - lane.silentAt > AFRESH_MS) lane.silentFrom = now;
  lane.silentAt = now;
}

/** For how long a lane has been silent, by what was seen of it, or was until a minute ago. */
export function silentMs<T extends Waiting>(lane: Lane<T>, now: number): number {
  return now - lane.silentAt > LONGEST_MS ? 0 : lane.silentAt - lane.silentFrom;
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
