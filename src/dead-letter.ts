/** What is known of a message in `<queue>.dead` or `<queue>.ambiguous` without looking into its body. */
export interface DeadLetter {
  /** Empty when nobody could tell, as below. */
  readonly merchantId: string;
  readonly orderId: string;
  /** Message identity, the idempotency key. */
  readonly identity: string;
  /** How often it has been republished; (identity, hop) names one copy. */
  readonly hop: number;
  /** The attempt that was its last, from 1. */
  readonly attempt: number;
  /** A DeadReason, if orderlane put it there. */
  readonly reason: string;
  readonly detail: string;
  /** When it was dead-lettered or parked, in milliseconds since the epoch; absent if orderlane did not do it. */
  readonly endedAt: number | undefined;
  /** Milliseconds since the epoch. */
  readonly publishedAt: number | undefined;
  /** When it was last replayed, in milliseconds since the epoch: it has come back since. */
  readonly replayedAt: number | undefined;
  readonly bytes: number;
  /** Of the merchant ID and the body: tells a second copy from another message with the same identity. */
  readonly fingerprint: number;
}
