import type { Got } from 'got';
import type { Merchant, Order } from './order.ts';

/** What a handler's log calls look like: pino's. Fields off the log's allowlist are redacted. */
export interface HandlerLog {
  debug(fields: object, message?: string): void;
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
}

export interface Context {
  /**
   * The merchant's HTTP client: base URL, authentication, idempotency key, trimmed time-outs and abort signal are in it.
   * It throws on error statuses, so that a handler that forgets to look cannot lose an order.
   */
  readonly http: Got;
  /** A client for another write of the same order, with an idempotency key of its own: `<identity>:<name>`. */
  call(name: string): Got;
  /** The merchant's entry. Its headers may hold secrets: do not log them. */
  readonly merchant: Merchant;
  readonly attempt: number;
  /** Milliseconds left for this attempt. */
  timeLeftMs(): number;
  /** Aborted when the attempt's time is over. Hand it to clients of your own. */
  readonly signal: AbortSignal;
  /** Carries shard, merchant, order and attempt. */
  readonly log: HandlerLog;
}

/** What `confirm` found at the merchant. */
export type Confirmation = 'there' | 'not-there';

export interface Handler {
  /**
   * Delivers one order. Returning means `delivered`, whatever it returns; with `--outcomes` that is in the order's event, as
   * JSON of 4,096 bytes at most. What it throws becomes an outcome: see
   * DeliveryError.
   */
  deliver(order: Order, ctx: Context): unknown;
  /** Asks the merchant whether the order is there, before it is sent again, for merchants with `duplicates: confirm`. */
  confirm?(order: Order, ctx: Context): Confirmation | Promise<Confirmation>;
}

/** Gives a handler module's default export its type. */
export function defineHandler(handler: Handler): Handler {
  return handler;
}

/**
 * What a handler throws to name an outcome itself, when it does not use `ctx.http` or knows better:
 * `rejected` (the merchant said no for good), `not-sent` (provably nothing left), `ambiguous` (it may have arrived) or
 * `throttled` (try later). Anything else that is thrown is `failed`: retried, then dead-lettered as `handler-error`.
 */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError';
  readonly outcome: 'rejected' | 'not-sent' | 'ambiguous' | 'throttled';
  /** Not again before this many milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    outcome: DeliveryError['outcome'],
    message: string,
    options: ErrorOptions & { retryAfterMs?: number } = {},
  ) {
    super(message, options);
    this.outcome = outcome;
    this.retryAfterMs = options.retryAfterMs;
  }
}
