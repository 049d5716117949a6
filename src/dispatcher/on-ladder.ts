import type { Lane } from '../lane/lane.ts';
import type { Entry } from './ledger.ts';
import { Round } from './round.ts';

/** How late the ladder may be, in a burst. */
const LATE_MS = 5_000;

interface Out {
  /** When it must have left the ladder. */
  readonly backAt: number;
  /** Absent for a late twin's. */
  readonly lane: Lane<Entry> | undefined;
}

/** The copies of ours that are on the ladder, by key, so that their lanes know how many come back. */
export class OnLadder {
  readonly #out = new Map<string, Out>();
  readonly #round = new Round(this.#out);

  get size(): number {
    return this.#out.size;
  }

  /** A copy is on the ladder for `delayMs`. Its lane has counted it already, when it has one. */
  put(key: string, lane: Lane<Entry> | undefined, delayMs: number, now: number): void {
    this.isBack(key); // another message with the same ID: one of them can be told to be back, and else its lane would live for ever
    this.#out.set(key, { backAt: now + delayMs + LATE_MS, lane });
  }

  isBack(key: string): void {
    const out = this.#out.get(key);
    if (out === undefined) return;
    this.#out.delete(key);
    if (out.lane !== undefined) out.lane.out--;
  }

  /** Begins to look for those that must be back; `sweep` goes on with it. */
  beginSweep(): void {
    this.#round.begin();
  }

  /** Another process on the same queue may have taken it; if not, the queue's own count has it by now. */
  sweep(now: number): void {
    for (const [key, { backAt }] of this.#round.part()) if (now >= backAt) this.isBack(key);
  }
}
