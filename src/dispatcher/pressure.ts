import type { Budget } from './budget.ts';

/** How long it must last: a burst is no lack. */
const LASTS_MS = 5_000;
const SAID_AGAIN_MS = 60_000;

/**
 * Says in words when the process's budget is too small for its load: where it is, no rule helps but a larger one.
 */
export class Pressure {
  #since: number | undefined;
  #saidAt = Number.NEGATIVE_INFINITY;
  #words: string | undefined;

  /** What is wrong now, for whoever looks. */
  get words(): string | undefined {
    return this.#words;
  }

  /**
   * To be called a few times a second. `waiting` counts the orders that wait, `held` those of them that are held because too
   * many calls of other merchants hang, and of theirs nothing is known. Returns what is to be logged, if something is.
   */
  judge(budget: Budget, waiting: number, held: number, now: number): string | undefined {
    const words = wordsOf(budget, waiting, held);
    if (words === undefined) {
      this.#since = undefined;
      this.#words = undefined;
      return undefined;
    }
    this.#since ??= now;
    if (now - this.#since < LASTS_MS) return undefined;
    this.#words = words;
    if (now - this.#saidAt < SAID_AGAIN_MS) return undefined;
    this.#saidAt = now;
    return words;
  }
}

function wordsOf(budget: Budget, waiting: number, held: number): string | undefined {
  const { limit, overAge } = budget;
  if (budget.isFull && waiting > 0) {
    return `all ${limit} calls of --concurrency are in flight, ${overAge} of them for longer than their merchants' normal, and orders wait: a larger --concurrency would let them go`;
  }
  if (held > 0) {
    return `${overAge} of the ${limit} calls of --concurrency are in flight for longer than their merchants' normal, and merchants that nothing is known of yet start no more: a larger --concurrency would leave them room`;
  }
  return undefined;
}
