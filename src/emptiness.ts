import type { Clock } from './clock.ts';

export interface EmptinessParts {
  /** Nothing is in hand. */
  readonly isEmpty: () => boolean;
  /** How many messages wait in the queues. */
  readonly backlog: () => Promise<number>;
  readonly clock: Clock;
}

/** How long everything must have been empty: messages on their way back from the ladder are in no count. */
const EMPTY_FOR_MS = 3_000;

/** Whether there has been nothing to do for a while, in hand or in the queues. */
export class Emptiness {
  readonly #parts: EmptinessParts;
  #since: number | undefined;
  #asking = false;

  constructor(parts: EmptinessParts) {
    this.#parts = parts;
  }

  /** To be called about twice a second. Rejects when the queues cannot be counted, and then begins anew. */
  async look(): Promise<boolean> {
    const { isEmpty, backlog, clock } = this.#parts;
    if (!isEmpty()) {
      this.#since = undefined;
      return false;
    }
    if (this.#asking) return false;
    this.#asking = true;
    try {
      const messages = await backlog();
      const now = clock.now();
      if (messages > 0 || !isEmpty()) this.#since = undefined;
      else this.#since ??= now;
      return this.#since !== undefined && now - this.#since >= EMPTY_FOR_MS;
    } catch (error) {
      this.#since = undefined;
      throw error;
    } finally {
      this.#asking = false;
    }
  }
}
