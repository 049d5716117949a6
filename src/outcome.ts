/**
 * What one attempt, or the decision not to make one, came to. ARCHITECTURE.md has the table. `answer` is what the merchant
 * or the handler gave back, as `answer.ts` writes it; only when outcome events are on.
 */
export type Outcome =
  | { readonly kind: 'delivered'; readonly status?: number; readonly answer?: string }
  | { readonly kind: 'rejected'; readonly reason: string; readonly status?: number; readonly answer?: string }
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'not-sent'; readonly reason: string }
  | {
      readonly kind: 'ambiguous' | 'throttled';
      readonly reason: string;
      readonly status?: number;
      readonly retryAfterMs?: number;
      readonly answer?: string;
    }
  | {
      readonly kind: 'deferred';
      readonly reason: string;
      /** The delay that would suit. */
      readonly delayMs: number;
      /** The least that will do: when it would end after the deadline, the order has expired. */
      readonly atLeastMs: number;
    }
  | { readonly kind: 'expired'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

export type OutcomeKind = Outcome['kind'];

/** Why an order is in `<queue>.dead`. */
export type DeadReason =
  | 'rejected'
  | 'malformed'
  | 'expired'
  | 'handler-error'
  | 'max-attempts'
  | 'thread-crash'
  | 'process-crash'
  /** It may have been sent, and there is no time for another attempt. */
  | 'ambiguous';

/** What is to be told of an end, besides what its delivery and its settlement say. Times are milliseconds since the epoch. */
export interface OutcomeEvent {
  readonly outcome: Outcome;
  readonly receivedAt: number;
  /** When its order was handed to a thread; absent when no attempt was made. */
  readonly startedAt?: number;
  readonly endedAt: number;
}

/** How a delivery ends; carried out by the source. */
export type Settlement = Ending & {
  /** To be published, and confirmed, before the delivery is acknowledged. */
  readonly event?: OutcomeEvent;
  /** This attempt or an earlier one may have arrived: whoever has the order next goes by its merchant's policy. */
  readonly possiblySent?: true;
};

/** Delays are rungs of the ladder. */
type Ending =
  | { readonly kind: 'ack' }
  | {
      readonly kind: 'retry';
      readonly delayMs: number;
      /** The attempt that comes next, from 1. */
      readonly attempt: number;
      readonly reason: string;
      /** Whether the handler's `confirm` must be asked before anything is sent. */
      readonly confirmFirst: boolean;
      /** How often a thread was lost to this order. */
      readonly crashes: number;
      /** Not before this time (milliseconds since the epoch), when that is further away than the longest rung. */
      readonly notBefore?: number;
    }
  | {
      readonly kind: 'defer';
      readonly delayMs: number;
      readonly reason: string;
      readonly confirmFirst: boolean;
      /** How often it came back without a word of an attempt. */
      readonly returns: number;
      readonly notBefore?: number;
    }
  | { readonly kind: 'dead-letter'; readonly reason: DeadReason; readonly detail: string }
  | { readonly kind: 'park'; readonly detail: string };

/** The end of nearly every delivery. One object, so that it can be told by identity. */
export const ACK: Settlement = { kind: 'ack' };

/** Longest text of a reason or a detail, in characters: headers over 64 KiB cannot be published. */
export const MAX_REASON = 500;

/** Cuts text to what a header or a log line may carry. */
export function brief(text: string, max: number = MAX_REASON): string {
  return text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}
