import type { Merchant } from '../order.ts';
import { AdaptiveLimit } from './adaptive-limit.ts';
import { AnswerPace } from './answer-pace.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import type { Ending } from './ending.ts';
import { RateLimit } from './rate-limit.ts';

/** Anything that can wait in a lane; linked through itself, so that waiting allocates nothing. */
export interface Waiting {
  next: Waiting | undefined;
  readonly bytes: number;
}

/** What keeps a lane from starting its next order, of those that are the lane's own. */
export type LaneGate = 'pause' | 'breaker' | 'hold' | 'rate' | 'limit';

/** Of many calls, so many may be over age without a sign: latencies have long tails. */
const TAIL = 1 / 20;
/** What a call is thought to take before one was answered. */
const UNKNOWN_MS = 1_000;
/** Lanes are looked at ten times a second: what was missed meanwhile is made up for. */
const PACE_SLACK_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** Half of the time-out is as long as calls are to queue. */
const STRAINED = 2;
/** And they queue when they take so many times what they did with fewer in flight: some merchants take long without that. */
const QUEUED = 2;
/** How much of a new latency enters the average: about the last ten answers count. */
const SMOOTHING = 0.1;
/** Of the longest latency each answer that took less takes a hundredth, and a minute without an answer all. */
const FADING = 0.01;
const FADED_MS = 60_000;
/** Over so long a merchant comes to be taken for one that has always taken as long. */
const NORMAL_MS = 300_000;
const HOLD_MS = 1_000;
const HOLD_MAX_MS = 60_000;

/**
 * One merchant's admission control: its waiting orders, first in first out, and what says when the next may start. It
 * lives on the main thread and outlives the thread that makes the calls.
 */
export class Lane<T extends Waiting> {
  readonly merchantId: string;
  readonly shard: number;
  readonly limit: AdaptiveLimit;
  inFlight = 0;
  waiting = 0;
  /** Calls in flight that are over age. */
  overAge = 0;
  /** Calls in flight that count as hanging. */
  hanging = 0;
  /** Calls in flight that count as slow. */
  slow = 0;
  /** Bytes of the orders that wait. */
  waitingBytes = 0;
  /** Orders that are on the ladder and come back. */
  out = 0;
  /** Smoothed latency of answered calls, in milliseconds; 0 before the first. Time-outs never enter. */
  latencyMs = 0;
  /**
   * The quicker of its answers lately, in milliseconds: one that is quick counts at once, each that takes longer at most doubles it.
   * One that began before the last quick one says nothing: the merchant has been as quick since.
   */
  quickMs = 0;
  /** What answered calls have taken over the last minutes, in milliseconds; 0 before the first. */
  normalMs = 0;
  /** The longest that an answered call has taken lately, in milliseconds; 0 when the last call was not answered. */
  longestAnswerMs = 0;
  /** When it last answered, be it with a refusal, on the clock's monotonic scale. */
  answeredAt: number = Number.NEGATIVE_INFINITY;
  /** Its last call was not answered, and none has been since. */
  failing = false;
  /** Why its last attempt failed; absent once an order was delivered. */
  failure: string | undefined;
  /** Failed attempts since then. */
  failures = 0;
  /** When the log was last told that it fails, on the clock's monotonic scale. */
  failureToldAt: number = Number.NEGATIVE_INFINITY;
  /** The log was told of the failures that are counted now. */
  isFailureTold = false;
  /** The merchant asked to be left alone until then. */
  holdUntil = 0;
  /** The directory does not have the merchant any more: what is in hand is finished, more is refused. */
  isGone = false;
  /** It stood still with orders waiting, and has not yet served all that came meanwhile. */
  catchesUp = false;
  /** On the clock's monotonic scale: when it was first seen to hang, if it has not answered since. */
  hangsSince: number | undefined;
  /** When it last stood still, on the clock's monotonic scale. */
  stoodAt = 0;
  /** Since when nobody has got an answer of it, and when that was last so, on the clock's monotonic scale. */
  silentFrom: number = Number.NEGATIVE_INFINITY;
  silentAt: number = Number.NEGATIVE_INFINITY;
  /** In the scheduler's line. */
  inRing = false;
  /** Its place there, counted from the first that ever stood in it. */
  place = 0;
  /** Turns that it may still take before it goes to the line's end. */
  credit = 0;
  /** A thread was lost while an order of this lane ran, and it is not proven innocent: its orders run one at a time. */
  quarantined = false;
  /** Threads lost to it since its last good answer. */
  strikes = 0;
  /** What its shard's thread was told of the merchant, and which thread that was: counted, from 1. */
  told: Merchant | undefined;
  toldThread = 0;
  /** When it last took an order, on the clock's monotonic scale. */
  usedAt = 0;
  /** While quarantined, nothing starts before this time. */
  quarantinedUntil = 0;
  #merchant: Merchant;
  #rate: RateLimit | undefined;
  /** Absent before the first failure: most merchants never have one, and there may be very many. */
  #breaker: CircuitBreaker | undefined;
  /** Absent before there were two calls at once: a single one cannot queue at the merchant. */
  #pace: AnswerPace | undefined;
  /** Times in a row that the merchant had too many, what was in flight together counted once. */
  #overloads = 0;
  /** Where pauses between calls count from, when the limit is below 1. */
  #pacedFrom = 0;
  /** When the last of its calls began that was no slower than `quickMs`. */
  #quickFrom = Number.NEGATIVE_INFINITY;
  #first: T | undefined;
  #last: T | undefined;

  constructor(merchant: Merchant, shard: number) {
    this.merchantId = merchant.id;
    this.shard = shard;
    this.#merchant = merchant;
    this.limit = new AdaptiveLimit(merchant.concurrency);
  }

  /** The directory's entry; replaced when the directory changes. */
  get merchant(): Merchant {
    return this.#merchant;
  }

  set merchant(merchant: Merchant) {
    // Whoever resumes it knows better than what it asked for before.
    if (this.#merchant.paused && !merchant.paused) this.holdUntil = 0;
    this.#merchant = merchant;
    this.limit.max = merchant.concurrency;
    if (this.#breaker !== undefined) this.#breaker.settings = merchant.breaker;
  }

  push(order: T): void {
    order.next = undefined;
    if (this.#last === undefined) this.#first = order;
    else this.#last.next = order;
    this.#last = order;
    this.waiting++;
    this.waitingBytes += order.bytes;
  }

  /** Puts an order back that was handed out and provably not sent. */
  unshift(order: T): void {
    order.next = this.#first;
    this.#first = order;
    this.#last ??= order;
    this.waiting++;
    this.waitingBytes += order.bytes;
  }

  shift(): T | undefined {
    const order = this.#first;
    if (order === undefined) return undefined;
    this.#first = order.next as T | undefined;
    if (this.#first === undefined) this.#last = undefined;
    order.next = undefined;
    this.waiting--;
    this.waitingBytes -= order.bytes;
    return order;
  }

  /** Takes out every waiting order that does not pass, and keeps the order of the rest. */
  keepOnly(passes: (order: T) => boolean): T[] {
    const removed: T[] = [];
    let order = this.#first;
    this.#first = undefined;
    this.#last = undefined;
    this.waiting = 0;
    this.waitingBytes = 0;
    while (order !== undefined) {
      const next = order.next as T | undefined;
      if (passes(order)) this.push(order);
      else removed.push(order);
      order = next;
    }
    return removed;
  }

  /** What keeps the next order from starting, if something does. */
  gate(now: number): LaneGate | undefined {
    if (this.#merchant.paused) return 'pause';
    if (this.#breaker?.allows(now) === false) return 'breaker';
    if (now < this.holdUntil) return 'hold';
    if (this.inFlight >= this.limit.value || now < this.#pacedUntil) return 'limit';
    return this.#limitedRate(now)?.allows(now) === false ? 'rate' : undefined;
  }

  /** When its gate opens, on the clock's scale, as far as that is a matter of time. */
  opensAt(now: number): number {
    const breaker = this.#breaker?.opensAt ?? 0;
    return Math.max(breaker, this.holdUntil, this.#pacedUntil, this.#limitedRate(now)?.opensAt(now) ?? 0);
  }

  /** Too many of its calls are over age, or a failure that no answer followed. */
  get isHanging(): boolean {
    return this.failing || this.overAge > this.inFlight * TAIL;
  }

  /**
   * It hangs, or it may: calls in flight, and nothing known of it. One that has answered before is not a suspect for a single
   * failure as long as it tries one call at a time: it would have no other way to prove itself.
   */
  get isSuspect(): boolean {
    if (this.latencyMs === 0) return this.inFlight > 0 || this.failing;
    return this.isHanging && (this.inFlight > 0 || (this.#breaker?.state ?? 'closed') !== 'closed');
  }

  /** The order that starts next. */
  get head(): T | undefined {
    return this.#first;
  }

  /** How many orders a second it serves when all is well; a guess of one a second a call before anything is known. */
  get servesPerSecond(): number {
    const most = (this.limit.mean * 1000) / this.#usualMs;
    return Math.min(most, this.#merchant.ratePerSecond ?? most);
  }

  /** A call is handed to the shard; returns what `ended` must bring back. */
  started(now: number): number {
    if (this.#pace !== undefined) this.#pace.started(this.inFlight, now);
    else if (this.inFlight > 0) this.#pace = new AnswerPace(now);
    this.inFlight++;
    this.#limitedRate(now)?.started();
    this.#pacedFrom = Math.max(this.#pacedUntil, now - PACE_SLACK_MS);
    return this.#breaker?.started() ?? 0;
  }

  ended(era: number, startedAt: number, { told, overloaded, retryAfterMs }: Ending, now: number): void {
    if (told === 'failed') {
      // Once may be chance: connections are lost, and not because of too many calls.
      if (this.failing) this.limit.unanswered(startedAt, now);
      this.failing = true;
      this.longestAnswerMs = 0;
      this.#breaker ??= new CircuitBreaker(this.#merchant.breaker);
    } else if (told === 'answered') {
      this.failing = false;
      if (overloaded) this.#overloaded(startedAt, now);
      else this.#answered(startedAt, now);
      this.#hold(overloaded, retryAfterMs, now);
      this.answeredAt = now;
    }
    if (this.#breaker?.ended(era, told, now) === true) {
      this.limit.restart();
      this.#pace?.restart();
    }
    this.inFlight--;
  }

  /** Nothing of it is left in this process, nor will come back to it. */
  get isIdle(): boolean {
    return this.waiting === 0 && this.inFlight === 0 && this.out === 0;
  }

  /** Smoothed by time and not by calls: a busy merchant that slows down is no more normal then than another. */
  #normalise(latencyMs: number, now: number): void {
    const sinceMs = now - this.answeredAt;
    const weight = this.normalMs === 0 ? 1 : sinceMs / (sinceMs + NORMAL_MS);
    this.normalMs += weight * (latencyMs - this.normalMs);
  }

  #countQuick(startedAt: number, latencyMs: number): void {
    if (this.quickMs === 0 || latencyMs <= this.quickMs) {
      this.quickMs = latencyMs;
      this.#quickFrom = startedAt;
    } else if (startedAt >= this.#quickFrom) this.quickMs = Math.min(latencyMs, 2 * this.quickMs);
  }

  #answered(startedAt: number, now: number): void {
    const latencyMs = now - startedAt;
    this.latencyMs = this.latencyMs === 0 ? latencyMs : this.latencyMs + SMOOTHING * (latencyMs - this.latencyMs);
    this.#countQuick(startedAt, latencyMs);
    this.#normalise(latencyMs, now);
    const left = Math.max(0, 1 - FADING - (now - this.answeredAt) / FADED_MS);
    this.longestAnswerMs = Math.max(latencyMs, this.longestAnswerMs * left);
    this.#pace?.answered(this.latencyMs, now);
    this.#overloads = 0;
    this.limit.answered(this.inFlight, this.#isStrained, now);
  }

  /** Its calls queue for so long that more of them would not be served sooner. */
  get #isStrained(): boolean {
    if (this.#pace === undefined) return false;
    const { gapMs, leastMs } = this.#pace;
    // By Little's law that is what a call would take with all in flight.
    const fullMs = gapMs * this.limit.mean;
    return fullMs * STRAINED > this.#merchant.timeoutMs && fullMs > QUEUED * leastMs;
  }

  #overloaded(startedAt: number, now: number): void {
    if (this.limit.overloaded(startedAt, now)) this.#overloads++;
  }

  /**
   * Without a time from the merchant, one refusal among answers only cuts the limit; in a row they hold the lane, twice as long
   * each time.
   */
  #hold(overloaded: boolean, retryAfterMs: number | undefined, now: number): void {
    const own = overloaded && this.#overloads > 1 ? HOLD_MS * 2 ** (this.#overloads - 2) : 0;
    const ms = retryAfterMs ?? Math.min(HOLD_MAX_MS, own);
    if (ms > 0) this.holdUntil = Math.max(this.holdUntil, now + ms);
  }

  /** A limit below 1: the next call may not start before. */
  get #pacedUntil(): number {
    const { mean } = this.limit;
    return mean < 1 ? this.#pacedFrom + Math.min(LONGEST_PAUSE_MS, this.#usualMs / mean) : 0;
  }

  get #usualMs(): number {
    return this.latencyMs === 0 ? UNKNOWN_MS : this.latencyMs;
  }

  #limitedRate(now: number): RateLimit | undefined {
    const { ratePerSecond } = this.#merchant;
    if (ratePerSecond === this.#rate?.perSecond) return this.#rate;
    if (ratePerSecond === undefined) this.#rate = undefined;
    else if (this.#rate === undefined) this.#rate = new RateLimit(ratePerSecond, now);
    else this.#rate.change(ratePerSecond, now);
    return this.#rate;
  }
}
