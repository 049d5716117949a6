/** Losses within this time count as a loop. */
const LOOP_MS = 30_000;
const FREE_RESTARTS = 3;
const BACKOFF_MS = 100;
const BACKOFF_MAX_MS = 5_000;

/** Threads that are lost again and again come back later each time. */
export class CrashLoop {
  #losses: number[] = [];

  /** A thread is lost, or did not come to be. */
  lost(now: number): void {
    this.#losses.push(now);
  }

  /** How long the next thread is to wait. */
  waitMs(now: number): number {
    this.#losses = this.#losses.filter((at) => now - at < LOOP_MS);
    const extra = this.#losses.length - FREE_RESTARTS;
    return extra <= 0 ? 0 : Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(extra, 10));
  }
}
