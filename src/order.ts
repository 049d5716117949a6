/** An order as a handler sees it. The body is exactly what was published. */
export interface Order {
  /** The order's own ID, as its publisher knows it. Create, change and cancel of one order share it. */
  readonly id: string;
  readonly merchantId: string;
  /** Message identity: the same on every attempt, redelivery and replay. It is the idempotency key. */
  readonly identity: string;
  /** Which try at the merchant this is, from 1. */
  readonly attempt: number;
  /** When it was published, in milliseconds since the epoch. */
  readonly publishedAt: number;
  /** The published bytes, as text. */
  readonly body: string;
  /** The body, parsed; parsed once. */
  json<T = unknown>(): T;
}

const PLAIN_KEY = /^[\x21-\x24\x26-\x7e]+$/;

/** An idempotency key as a header can carry it: percent-encoded when it has a `%`, or characters other than ASCII's visible ones. */
export function headerKey(key: string): string {
  return PLAIN_KEY.test(key) ? key : encodeURIComponent(key.toWellFormed());
}

/** What to do when an attempt may or may not have reached the merchant. */
export type DuplicatesPolicy = 'idempotent' | 'confirm' | 'never';

/** When calls to a merchant that does not answer are given up for a time, and what ends that. */
export interface BreakerSettings {
  /** Failures in a row that open it, from 1. */
  readonly failures: number;
  /** Calls that are sent when it has been open for its time, from 1; it closes when all of them were answered. */
  readonly probes: number;
  /** How long it is open for the first time, in milliseconds; twice as long each further time. */
  readonly waitMs: number;
  /** The longest that it is open, in milliseconds, but for a first time that is longer. */
  readonly maxWaitMs: number;
}

/** What holds of it where nobody says otherwise. */
export const BREAKER: BreakerSettings = { failures: 2, probes: 1, waitMs: 5_000, maxWaitMs: 60_000 };

/** What is taken for it: failures or probes, and waits. */
export const BREAKER_BOUNDS = { most: 100, leastWaitMs: 100, mostWaitMs: 3_600_000 } as const;

/** A merchant as the directory knows it, with the directory's defaults filled in and its secrets resolved. */
export interface Merchant {
  readonly id: string;
  /** Where orders go, `{merchantId}` filled in; absent when a handler knows by itself. */
  readonly url?: string;
  /** Sent with every call, authentication included. Never logged. */
  readonly headers: Readonly<Record<string, string>>;
  /** How long one attempt may take, in milliseconds. */
  readonly timeoutMs: number;
  /** How many of its orders may be in flight. */
  readonly concurrency: number;
  /** How many of its orders may start in a second; absent for any number. */
  readonly ratePerSecond?: number;
  readonly breaker: BreakerSettings;
  /** An operator's switch: while it is on, nothing is sent to the merchant. */
  readonly paused: boolean;
  /** Its share of the turns when merchants compete for the process's budget. */
  readonly weight: number;
  readonly duplicates: DuplicatesPolicy;
  /** How long the merchant remembers an idempotency key, in milliseconds. */
  readonly keyWindowMs: number;
}
