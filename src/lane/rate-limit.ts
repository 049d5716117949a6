/** Sums of fractions miss a whole token by less than this. */
const ROUNDING = 1e-9;

/**
 * A token bucket (Turner, "New Directions in Communications", 1986): `perSecond` tokens a second, at most a second's worth
 * saved up, and never less than one.
 */
export class RateLimit {
  readonly perSecond: number;
  readonly #size: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, now: number) {
    this.perSecond = perSecond;
    this.#size = Math.max(1, perSecond);
    this.#tokens = this.#size;
    this.#at = now;
  }

  allows(now: number): boolean {
    this.#refill(now);
    return this.#tokens > 1 - ROUNDING;
  }

  /** Takes a token; only after `allows`. */
  started(): void {
    this.#tokens--;
  }

  /** When there is a token again. */
  opensAt(now: number): number {
    this.#refill(now);
    return now + Math.max(0, ((1 - this.#tokens) * 1000) / this.perSecond);
  }

  #refill(now: number): void {
    this.#tokens = Math.min(this.#size, this.#tokens + ((now - this.#at) * this.perSecond) / 1000);
    this.#at = now;
  }
}
