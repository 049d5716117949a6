const START = 50;

/**
 * How many calls a merchant takes at once: additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the
 * Increase and Decrease Algorithms for Congestion Avoidance", 1989), between 1 and a ceiling. As with a congestion window
 * (RFC 7661), use is what allows growth: an answer while less than half was used says nothing about more. It begins at 50
 * and not at 1, so that a new merchant's first burst is not sent in rounds.
 */
export class AdaptiveLimit {
  #limit: number;
  #max: number;
  #cutAt = Number.NEGATIVE_INFINITY;

  /** @param max the ceiling, a whole number from 1 */
  constructor(max: number) {
    this.#max = max;
    this.#limit = Math.min(START, max);
  }

  get value(): number {
    return Math.floor(this.#limit);
  }

  set max(max: number) {
    if (max === this.#max) return;
    // Where only the ceiling held it, it begins anew under the new one.
    const fresh = this.#limit === this.#max ? Math.max(START, this.#limit) : this.#limit;
    this.#max = max;
    this.#limit = Math.min(fresh, max);
  }

  /** A call was answered; `inFlight` counts it. Grows by one for each full round of answers. */
  answered(inFlight: number): void {
    if (inFlight * 2 >= this.#limit) this.#limit = Math.min(this.#max, this.#limit + 1 / this.#limit);
  }

  /**
   * A call was not answered in time, or the merchant said that it has too many. Calls that were under way when the limit was
   * cut tell of the same overload, and do not cut it again.
   */
  overloaded(startedAt: number, now: number): void {
    if (startedAt < this.#cutAt) return;
    this.#limit = Math.max(1, this.#limit / 2);
    this.#cutAt = now;
  }
}
