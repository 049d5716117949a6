import { writeSync } from 'node:fs';

/** So long a report may wait for more to tell, in milliseconds. */
const REPORT_MS = 2;

/**
 * Tells, from inside a process that is measured, how many orders it has begun and ended. Each thread tells its own, and who
 * listens adds them up. Written straight to the descriptor: a thread's `process.stdout` goes through the main thread.
 */
export class Marker {
  #began = 0;
  #ended = 0;
  #lastMs = 0;
  #reporting = false;

  began(): void {
    this.#began++;
    this.#report();
  }

  ended(): void {
    this.#ended++;
    this.#lastMs = performance.now() + performance.timeOrigin;
    this.#report();
  }

  #report(): void {
    if (this.#reporting) return;
    this.#reporting = true;
    setTimeout(() => {
      writeSync(1, `${JSON.stringify({ at: 'orders', began: this.#began, ended: this.#ended, ms: this.#lastMs })}\n`);
      this.#began = 0;
      this.#ended = 0;
      this.#reporting = false;
    }, REPORT_MS);
  }
}
