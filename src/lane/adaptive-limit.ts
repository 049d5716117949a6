const START = 50;
/** Below 1, calls go one at a time with pauses between them. */
const LEAST = 0.02;
/** What an overload leaves of the limit. */
const CUT = 0.7;
/** How steeply the limit grows away from where the last overload was, in calls per second cubed. */
const STEEPNESS = 0.01;
/** Time without answers is not time in which the limit was tried. */
const LONGEST_STEP_S = 5;

/**
 * How many calls a merchant takes at once, from what it answers. An overload cuts the limit; then it grows with time as
 * in CUBIC (Ha, Rhee and Xu, "CUBIC: A New TCP-Friendly High-Speed TCP Variant", 2008; RFC 9438): quickly back to where the
 * overload was, slowly there, faster and faster beyond. The limit so stays close to a capacity that does not change, where
 * additive increase with halving keeps three quarters of it and overloads it every few rounds. As with a congestion window
 * (RFC 7661), use is what allows growth: an answer while less than half was used says nothing about more. It begins at 50 and
 * not at 1, so that a new merchant's first burst is not sent in rounds, and before the first overload doubles with each round.
 */
export class AdaptiveLimit {
  #limit: number;
  #max: number;
  #cutAt = Number.NEGATIVE_INFINITY;
  /** Where the last overload was, in calls; undefined before the first. */
  #plateau: number | undefined;
  /** How long the limit has been in use since, in seconds. */
  #usedS = 0;
  #usedAt = 0;
  /** It doubles with each round, up to the plateau if there is one. */
  #isSlowStart = true;

  /** @param max the ceiling, a whole number from 1 */
  constructor(max: number) {
    this.#max = max;
    this.#limit = Math.min(START, max);
  }

  /** Calls at once, a whole number from 1. */
  get value(): number {
    return Math.max(1, Math.floor(this.#limit));
  }

  /** The mean number of calls in flight that it allows: less than 1 when there must be pauses between them. */
  get mean(): number {
    return this.#limit < 1 ? this.#limit : Math.floor(this.#limit);
  }

  set max(max: number) {
    if (max === this.#max) return;
    // Where only the ceiling held it, it begins anew under the new one.
    const fresh = this.#limit === this.#max ? Math.max(START, this.#limit) : this.#limit;
    this.#max = max;
    this.#limit = Math.min(fresh, max);
  }

  /**
   * A call was answered; `inFlight` counts it. When `strained`, calls queue at the merchant, and more of them would not be served sooner.
   */
  answered(inFlight: number, strained: boolean, now: number): void {
    if (strained) return;
    const isUsed = inFlight * 2 >= this.#limit;
    if (this.#isSlowStart) {
      if (!isUsed) return;
      this.#limit = Math.min(this.#max, this.#limit + 1);
      if (this.#plateau === undefined || this.#limit < this.#plateau) return;
      this.#isSlowStart = false;
      this.#usedS = backAfterS(this.#plateau);
      this.#usedAt = now;
      return;
    }
    const stepS = Math.min(LONGEST_STEP_S, (now - this.#usedAt) / 1000);
    this.#usedAt = now;
    if (!isUsed) return;
    this.#usedS += stepS;
    const plateau = this.#plateau as number;
    const grown = plateau + STEEPNESS * (this.#usedS - backAfterS(plateau)) ** 3;
    this.#limit = Math.min(this.#max, Math.max(this.#limit, grown));
  }

  /**
   * The merchant said that it has too many. Calls that were under way when the limit was cut tell of the same overload, and do
   * not cut it again. Returns whether it was cut.
   */
  overloaded(startedAt: number, now: number): boolean {
    return this.#cut(startedAt, now, LEAST);
  }

  /** A call was not answered in time: it may be an overload, but never says that one at a time is too many. */
  unanswered(startedAt: number, now: number): void {
    this.#cut(startedAt, now, 1);
  }

  /**
   * The merchant stood still, and nothing is known of what it takes now: as after a time-out in TCP (RFC 5681, 3.1), one call at
   * a time and twice as many with each round, up to where the last cut would have led.
   */
  restart(): void {
    this.#plateau = Math.max(1, this.#limit * CUT);
    this.#limit = Math.min(this.#limit, 1);
    this.#isSlowStart = true;
  }

  #cut(startedAt: number, now: number, least: number): boolean {
    if (startedAt < this.#cutAt) return false;
    const before = this.#limit;
    // Below the last one, capacity is falling: room is made for it to fall further (RFC 9438, 4.7).
    const falls = this.#plateau !== undefined && before < this.#plateau;
    this.#plateau = falls ? (before * (1 + CUT)) / 2 : before;
    this.#limit = Math.min(before, Math.max(least, before * CUT));
    this.#isSlowStart = false;
    this.#usedS = 0;
    this.#usedAt = now;
    this.#cutAt = now;
    return true;
  }
}

/** How long after a cut the limit is back where it was, in seconds. */
function backAfterS(plateau: number): number {
  return Math.cbrt((plateau * (1 - CUT)) / STEEPNESS);
}
