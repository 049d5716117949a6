import type { SlotTable } from '../slot-table.ts';

/** What a thread begins in so much time may be on its way to it, or wait there. */
const AHEAD_MS = 50;
const LEAST = 8;
const FIRST = 64;
const MOST = 256;

/**
 * How many orders a shard is handed before its thread begins them. A thread begins its orders as they come, so what waits for it
 * is to wait in the lanes, where turns are given.
 */
export class Lead {
  readonly #table: SlotTable;
  readonly #most: number;
  #limit: number;
  /** Orders handed to threads, those of lost ones left out that were not begun. */
  #handed = 0;
  /** There was no room since the last look. */
  #wasFull = false;
  #lookedAt = 0;
  #begunThen = 0;

  /** Not more than half of what the table has slots for. */
  constructor(table: SlotTable) {
    this.#table = table;
    this.#most = Math.min(MOST, Math.ceil(table.size / 2));
    this.#limit = Math.min(FIRST, this.#most);
  }

  /** Whether another order would soon be begun; if not, the thread will tell that it has begun some. */
  hasRoom(): boolean {
    if (!this.#isFull) return true;
    this.#wasFull = true;
    this.#table.awaitBegun();
    return !this.#isFull; // it may have begun some meanwhile, and not known that it was waited for
  }

  /** An order is handed over. */
  handed(): void {
    this.#handed++;
  }

  /** The thread is gone, and what it had not begun is taken back. */
  reset(): void {
    this.#handed = this.#table.begun();
  }

  /** To be called several times a second; returns how many the thread has begun since. While a thread has more than it comes to, what it begins tells how fast it is. */
  look(now: number, awayMs: number): number {
    const begun = this.#table.begun();
    const count = (begun - this.#begunThen) | 0;
    if (this.#wasFull) {
      const inTime = (count * AHEAD_MS) / Math.max(1, now - this.#lookedAt - awayMs);
      // Between two looks it may have had little to begin.
      const least = Math.max(LEAST, Math.ceil(this.#limit / 2));
      this.#limit = Math.min(this.#most, Math.max(least, Math.round(inTime)));
    }
    this.#wasFull = false;
    this.#lookedAt = now;
    this.#begunThen = begun;
    return count;
  }

  get #isFull(): boolean {
    return ((this.#handed - this.#table.begun()) | 0) >= this.#limit;
  }
}
