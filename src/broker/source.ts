import type { Settlement } from '../outcome.ts';

/** One arrival of a message from the broker; unsettled until it is settled, exactly once. */
export interface Delivery {
  /** Which life of the consuming channel it came on; a settlement for an earlier one is dropped. */
  readonly epoch: number;
  readonly tag: number;
  /** The broker may have given this copy to somebody before. */
  readonly redelivered: boolean;
  /** Message identity, the idempotency key. */
  readonly identity: string;
  readonly orderId: string;
  readonly merchantId: string;
  /** The attempt that comes next, from 1. */
  readonly attempt: number;
  /** How often we have republished the message; (identity, hop) names one copy. */
  readonly hop: number;
  /** How often the message had ended before, and was then moved back to the queue: each end is another. */
  readonly ends: number;
  /** How many threads were lost to this order. */
  readonly crashes: number;
  /** How often earlier copies came back without a word of an attempt, as the last of them says. */
  readonly returns: number;
  /**
   * How often the broker has had this copy back, by its count: processes were lost that held it. 0 in a process that has lost a
   * connection itself and lives: that may be all that has happened, again and again, to what never arrived here.
   */
  readonly cameBack: number;
  /** The handler's `confirm` must be asked before anything is sent. */
  readonly confirmFirst: boolean;
  /** An attempt at an earlier copy may have arrived. */
  readonly possiblySent: boolean;
  readonly body: string;
  /** Of the merchant ID and the body: tells a message whose publisher has reused an ID from a redelivery. */
  readonly fingerprint: number;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly publishedAt: number;
  /** On the clock's monotonic scale. */
  readonly deadlineAt: number;
  /** On the clock's monotonic scale; 0 when it may be sent at once. */
  readonly notBeforeAt: number;
  /** This process put the copy on the ladder. */
  readonly ours: boolean;
  /** Why it cannot be read; nothing else above is then to be relied on. */
  readonly malformed: string | undefined;
}

/** What a source tells; the dispatcher's side. */
export interface Sink {
  received(delivery: Delivery): void;
  /** A settlement that was `pending` is durable, and the delivery's end has been told to the broker. */
  settled(delivery: Delivery): void;
  /** The channel of this epoch is gone: everything unsettled of it, and of earlier ones, will come again. */
  lost(epoch: number): void;
}

export interface Window {
  readonly unsettled: number;
  readonly unsettledBytes: number;
  /** How many can be unsettled: --prefetch, or as many as --window-bytes has room for if that is less. */
  readonly capacity: number;
  readonly capacityBytes: number;
  /** The broker takes no messages for now: what is to leave the window otherwise than by an ack cannot. */
  readonly isBlocked: boolean;
}

/** Where deliveries come from and settlements go. Knows the broker, not merchants. */
export interface Source {
  /** Resolves when the first delivery may arrive. */
  start(sink: Sink): Promise<void>;
  /**
   * Carries out a settlement: `settled` at once, `pending` until Sink.settled, or `stale`: the delivery's channel is gone
   * and nothing was done.
   */
  settle(delivery: Delivery, settlement: Settlement): 'settled' | 'pending' | 'stale';
  window(): Window;
  /** Called when nothing in hand can be started though budget and threads have room: lets more deliveries come, up to the prefetch. */
  wantMore(): void;
  /** How many messages wait in the source queue and on the ladder, as the broker counts them. */
  backlog(): Promise<number>;
  /** Takes no more deliveries; those in hand can still be settled. */
  stopConsuming(): Promise<void>;
  /** Ends both connections; unsettled deliveries go back to the broker. Safe before start and twice. */
  stop(): Promise<void>;
}
