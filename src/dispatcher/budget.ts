/** What the budget must know of a call in flight; linked through itself, oldest first. */
export interface Call {
  /** When it was handed to its shard, on the clock's monotonic scale. */
  startedAt: number;
  /** In flight for longer than its merchant's normal. */
  overAge: boolean;
  earlier: Call | undefined;
  later: Call | undefined;
  readonly lane: {
    readonly shard: number;
    /** Smoothed latency of answered calls, in milliseconds. */
    readonly latencyMs: number;
    /** The quicker of its answers lately. */
    readonly quickMs: number;
    /** Smoothed over the last minutes. */
    readonly normalMs: number;
    /** The longest that one has taken lately, in milliseconds. */
    readonly longestAnswerMs: number;
    readonly merchant: { readonly timeoutMs: number };
    readonly inFlight: number;
    readonly isHanging: boolean;
    overAge: number;
    /** How many of its calls are counted as hanging. */
    hanging: number;
    /** How many of its calls are counted as slow. */
    slow: number;
  };
}

/**
 * A merchant may hold, for each unit of its weight, as many as are still free: Choudhury and Hahne, "Dynamic Queue Length
 * Thresholds", 1998. One alone can so have half of the budget, and nobody the last of it.
 */
const ALPHA = 1;
/** And always this part of the whole, so that many merchants together can use all of it. */
const ALWAYS = 1 / 200;
/** While calls of merchants that hang hold this part of the budget, suspects start nothing. */
const HANGING = 1 / 4;
/** And while calls of merchants that answer, but take many times what is usual, hold this part, those start nothing more. */
const SLOW = 1 / 2;
/** Past so many times what it takes over minutes, a merchant is not as it always is. */
const NORMAL_FACTOR = 2;
/** With this part in flight, as much is under way as shares allow, and more deliveries in hand would only wait. */
const BUSY = 0.9;
/** No call is over age before this. */
const LEAST_AGE_MS = 500;

/** Of the latencies of a shard's answers, the one that a quarter are below is followed in steps of this part. */
const USUAL_STEP = 0.05;
const USUAL_QUANTILE = 0.25;
/** A call that takes this many times what is usual is over age. */
const OVER_AGE_FACTOR = 4;
/** If it takes as many times the longest answer lately, too; but a merchant that has once taken very long may hang all the same. */
const LONGEST_FACTOR = 1.5;
const LONGEST_OF_TIMEOUT = 1 / 3;

/** How many one merchant may hold of what has room for `free` more. */
export function shareOf(free: number, alpha: number): number {
  return Math.max(1, Math.floor(alpha * free));
}

/**
 * The calls that the process has in flight, which of them are over age (past four times their merchant's usual latency,
 * four times what its shard needs for its quicker answers, one and a half times the longest answer lately, up to a third of the
 * time-out, because some merchants take 100 ms for most and 3 s for a few, and half a second at least), and how many belong to
 * merchants that hang: that have a call over age, or whose last one was not answered. All calls of such a merchant count, the young ones too:
 * they will hang as well, and a burst of them must not fill the budget before it is known.
 */
export class Budget {
  readonly limit: number;
  #used = 0;
  #overAge = 0;
  #hanging = 0;
  #slow = 0;
  #oldest: Call | undefined;
  #newest: Call | undefined;
  /** By shard: what its quicker answers take, in milliseconds. When its thread is busy, all calls take long. */
  readonly #usual: number[] = [];

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  get overAge(): number {
    return this.#overAge;
  }

  /** All calls in flight, oldest first. */
  *calls(): Generator<Call, void, undefined> {
    for (let call = this.#oldest; call !== undefined; call = call.later) yield call;
  }

  get isFull(): boolean {
    return this.#used >= this.limit;
  }

  /** Whether more deliveries in hand could be started, if they are for other merchants. */
  get hasRoom(): boolean {
    return this.#used < this.limit * BUSY;
  }

  /** How many calls a merchant of this weight may have in flight. */
  share(weight: number): number {
    return Math.max(shareOf(this.limit - this.#used, ALPHA * weight), Math.floor(ALWAYS * weight * this.limit));
  }

  /** Whether merchants that may be hanging can start more. */
  get trustsSuspects(): boolean {
    return this.#hanging < Math.max(1, this.limit * HANGING);
  }

  /** Whether a merchant has come to take so long that those like it may together hold no more than a part. */
  isSlow(lane: Call['lane']): boolean {
    return this.#takesLong(lane) && lane.quickMs > NORMAL_FACTOR * lane.normalMs;
  }

  /** Whether it has to wait for others that take as long. One that always has may have what else is free, but for the last of it. */
  holdsAsSlow(lane: Call['lane']): boolean {
    return !this.servesSlow && (this.hasRoom ? this.isSlow(lane) : this.#takesLong(lane));
  }

  /** Whether slow merchants can start more. */
  get servesSlow(): boolean {
    return this.#slow < Math.max(1, this.limit * SLOW);
  }

  /** A call of this shard delivered its order. The quantile is followed as in Ma, Muthukrishnan and Sandler, "Frugal Streaming", 2013. */
  delivered(shard: number, latencyMs: number): void {
    const usual = this.#usual[shard] ?? latencyMs;
    const step = latencyMs > usual ? USUAL_QUANTILE : USUAL_QUANTILE - 1;
    // From zero, no number of steps would lead away.
    this.#usual[shard] = Math.max(1, usual * (1 + USUAL_STEP * step));
  }

  /** To be called after the lane has counted the call. */
  started(call: Call): void {
    this.#used++;
    call.overAge = false;
    call.earlier = this.#newest;
    call.later = undefined;
    if (this.#newest === undefined) this.#oldest = call;
    else this.#newest.later = call;
    this.#newest = call;
    this.#count(call.lane);
  }

  /** To be called after the lane has taken in how the call ended. */
  ended(call: Call): void {
    this.#used--;
    if (call.overAge) {
      this.#overAge--;
      call.lane.overAge--;
      call.overAge = false;
    }
    const { earlier, later } = call;
    if (earlier === undefined) this.#oldest = later;
    else earlier.later = later;
    if (later === undefined) this.#newest = earlier;
    else later.earlier = earlier;
    call.earlier = undefined;
    call.later = undefined;
    this.#count(call.lane);
  }

  /** To be called a few times a second: finds the calls that have come over age. */
  age(now: number): void {
    for (let call = this.#oldest; call !== undefined; call = call.later) {
      const ageMs = now - call.startedAt;
      if (ageMs <= LEAST_AGE_MS) return; // so are all later ones
      const { lane } = call;
      // With nothing to compare with, nobody can be told from the others: all merchants may take as long.
      const usual = this.#usual[lane.shard] ?? Number.POSITIVE_INFINITY;
      const longMs = Math.min(LONGEST_FACTOR * lane.longestAnswerMs, LONGEST_OF_TIMEOUT * lane.merchant.timeoutMs);
      const isOver = ageMs > Math.max(OVER_AGE_FACTOR * Math.max(lane.latencyMs, usual), longMs);
      if (isOver === call.overAge) continue;
      call.overAge = isOver;
      const change = isOver ? 1 : -1;
      lane.overAge += change;
      this.#overAge += change;
      this.#count(lane);
    }
  }

  #takesLong({ shard, latencyMs }: Call['lane']): boolean {
    const usual = this.#usual[shard];
    return usual !== undefined && latencyMs > LEAST_AGE_MS && latencyMs > OVER_AGE_FACTOR * usual;
  }

  #count(lane: Call['lane']): void {
    const hanging = lane.isHanging ? lane.inFlight : 0;
    this.#hanging += hanging - lane.hanging;
    lane.hanging = hanging;
    const slow = this.#takesLong(lane) ? lane.inFlight : 0;
    this.#slow += slow - lane.slow;
    lane.slow = slow;
  }
}
