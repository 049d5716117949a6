import type { Merchant } from '../order.ts';

/** Anything that can wait in a lane; linked through itself, so that waiting allocates nothing. */
export interface Waiting {
  next: Waiting | undefined;
}

/** How much of a new latency enters the average: about the last ten answers count. */
const SMOOTHING = 0.1;

/**
 * One merchant's admission control: its waiting orders, first in first out, and how many of its calls are in flight. It
 * lives on the main thread and outlives the thread that makes the calls.
 */
export class Lane<T extends Waiting> {
  readonly merchantId: string;
  readonly shard: number;
  /** The directory's entry; replaced when the directory changes. */
  merchant: Merchant;
  inFlight = 0;
  waiting = 0;
  /** Smoothed latency of answered calls, in milliseconds; 0 before the first. Time-outs never enter. */
  latencyMs = 0;
  /** The directory does not have the merchant any more: what is in hand is finished, more is refused. */
  isGone = false;
  /** In the scheduler's ring. */
  inRing = false;
  /** Turns that it may still take before it goes to the ring's end. */
  credit = 0;
  /** A thread was lost while an order of this lane ran, and it is not proven innocent: its orders run one at a time. */
  suspect = false;
  /** Threads lost to it since its last good answer. */
  strikes = 0;
  /** When it last took an order, on the clock's monotonic scale. */
  usedAt = 0;
  /** While suspect, nothing starts before this time. */
  heldUntil = 0;
  #first: T | undefined;
  #last: T | undefined;

  constructor(merchant: Merchant, shard: number) {
    this.merchantId = merchant.id;
    this.merchant = merchant;
    this.shard = shard;
  }

  push(order: T): void {
    order.next = undefined;
    if (this.#last === undefined) this.#first = order;
    else this.#last.next = order;
    this.#last = order;
    this.waiting++;
  }

  /** Puts an order back that was handed out and provably not sent. */
  unshift(order: T): void {
    order.next = this.#first;
    this.#first = order;
    this.#last ??= order;
    this.waiting++;
  }

  shift(): T | undefined {
    const order = this.#first;
    if (order === undefined) return undefined;
    this.#first = order.next as T | undefined;
    if (this.#first === undefined) this.#last = undefined;
    order.next = undefined;
    this.waiting--;
    return order;
  }

  /** Takes out every waiting order that does not pass, and keeps the order of the rest. */
  keepOnly(passes: (order: T) => boolean): T[] {
    const removed: T[] = [];
    let order = this.#first;
    this.#first = undefined;
    this.#last = undefined;
    this.waiting = 0;
    while (order !== undefined) {
      const next = order.next as T | undefined;
      if (passes(order)) this.push(order);
      else removed.push(order);
      order = next;
    }
    return removed;
  }

  /** Something waits, and its merchant may have one more call in flight. */
  get mayStart(): boolean {
    return this.waiting > 0 && this.inFlight < this.merchant.concurrency;
  }

  /** Takes an answered call into the average. */
  answered(latencyMs: number): void {
    this.latencyMs = this.latencyMs === 0 ? latencyMs : this.latencyMs + SMOOTHING * (latencyMs - this.latencyMs);
  }

  /** Nothing of it is left in this process. */
  get isIdle(): boolean {
    return this.waiting === 0 && this.inFlight === 0;
  }
}
