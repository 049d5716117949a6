/** Sums of fractions miss a whole token by less than this. */
const ROUNDING = 1e-9;

/**
 * A token bucket (Turner, "New Directions in Communications", 1986): `perSecond` tokens a second, at most a second's worth
 * saved up, and never less than one.
 */
export class RateLimit {
  #perSecond: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#tokens = this.#size;
    this.#at = now;
  }

  get perSecond(): number {
    return this.#perSecond;
  }

  /** Another rate from now on; what is saved up stays, as far as it has room. */
  change(perSecond: number, now: number): void {
    this.#refill(now);
    this.#perSecond = perSecond;
    this.#tokens = Math.min(this.#tokens, this.#size);
  }

  allows(now: number): boolean {
    this.#refill(now);
    return this.#tokens > 1 - ROUNDING;
  }

  /** Takes a token; only after `allows`. */
  started(): void {
    this.#tokens--;
  }

  /** When there is a token again; 0 when there is one. */
  opensAt(now: number): number {
    return this.allows(now) ? 0 : now + ((1 - this.#tokens) * 1000) / this.#perSecond;
  }

  get #size(): number {
    return Math.max(1, this.#perSecond);
  }

  #refill(now: number): void {
    this.#tokens = Math.min(this.#size, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
  }
}
