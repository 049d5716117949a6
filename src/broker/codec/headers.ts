/**
 * Message headers that orderlane reads and writes. The `orderlane_` ones and `not_before` are our own, written when a message is
 * republished; the others are anybody's to set.
 */
export const HEADER = {
  orderId: 'order_id',
  merchantId: 'merchant_id',
  /** Milliseconds since the epoch; the name is RabbitMQ's message-interceptor's. */
  publishedAt: 'timestamp_in_ms',
  /** Milliseconds since the epoch. */
  deadline: 'deadline',
  /** Milliseconds since the epoch. */
  notBefore: 'not_before',
  identity: 'orderlane_identity',
  hop: 'orderlane_hop',
  attempt: 'orderlane_attempt',
  crashes: 'orderlane_crashes',
  confirmFirst: 'orderlane_confirm_first',
  possiblySent: 'orderlane_possibly_sent',
  /** How often it has ended: dead-lettered or parked. */
  ends: 'orderlane_ends',
  /** How often copies of it came back without a word of an attempt. */
  returns: 'orderlane_returns',
  /** Which process republished it. */
  by: 'orderlane_by',
  /** One publish of ours, to tell which one the broker returns. */
  publishId: 'orderlane_publish_id',
  reason: 'orderlane_reason',
  detail: 'orderlane_detail',
  endedAt: 'orderlane_ended_at',
  /** When an operator last sent it back to the queue; milliseconds since the epoch. */
  replayedAt: 'orderlane_replayed_at',
  replayedFrom: 'orderlane_replayed_from',
  replayedWhy: 'orderlane_replayed_why',
} as const;

/** A quorum queue's own count, in what it gives out: how often it has had the message back. */
export const DELIVERY_COUNT = 'x-delivery-count';
/** RabbitMQ 4's: how often it has given the message out. */
export const ACQUIRED_COUNT = 'x-acquired-count';

export type Headers = Readonly<Record<string, unknown>>;

/** A header's text; numbers count as text, everything else is absent. */
export function textHeader(headers: Headers, name: string): string | undefined {
  return textOf(headers[name]);
}

/** An ID from whatever was given as one. A number that JavaScript cannot hold exactly would be another ID. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value;
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : String(value);
}

/** A header's number; numeric text counts, everything else is absent. */
export function numberHeader(headers: Headers, name: string): number | undefined {
  const value = headers[name];
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string' || value.trim() === '') return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}

/** A count from one of our own headers. */
export function countHeader(headers: Headers, name: string, least: number): number {
  const value = headers[name];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least ? value : least;
}
