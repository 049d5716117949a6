import { type EventLoopUtilization, performance } from 'node:perf_hooks';

const LEAST_MS = 1000;

/** Share of time an event loop was busy lately, 0 to 1. Over a second at least, where it has more than one reader. */
export class LoopUse {
  readonly #total: () => EventLoopUtilization;
  readonly #leastMs: number;
  #before: EventLoopUtilization | undefined;
  #readAt = 0;
  #share = 0;

  constructor(total: () => EventLoopUtilization, leastMs: number = LEAST_MS) {
    this.#total = total;
    this.#leastMs = leastMs;
  }

  read(): number {
    const now = performance.now();
    if (this.#before !== undefined && now - this.#readAt < this.#leastMs) return this.#share;
    const total = this.#total();
    const before = this.#before;
    const active = total.active - (before?.active ?? 0);
    const idle = total.idle - (before?.idle ?? 0);
    this.#share = active + idle > 0 ? active / (active + idle) : 0;
    this.#before = total;
    this.#readAt = now;
    return this.#share;
  }
}
