import type { DeadLetter } from '../dead-letter.ts';

/** Which dead letters are meant: those that fit everything that is given. */
export interface Filter {
  readonly merchants?: ReadonlySet<string>;
  readonly reasons?: ReadonlySet<string>;
  readonly orders?: ReadonlySet<string>;
  /** Dead for at least this long, in milliseconds. */
  readonly olderThanMs?: number;
  /** Dead for less than this long, in milliseconds. */
  readonly newerThanMs?: number;
}

/** Whether a dead letter is meant; one that does not say when it died has no age, and none is true of it. */
export function isMeant(letter: DeadLetter, filter: Filter, wall: number): boolean {
  const { merchants, reasons, orders, olderThanMs, newerThanMs } = filter;
  if (merchants !== undefined && !merchants.has(letter.merchantId)) return false;
  if (reasons !== undefined && !reasons.has(letter.reason)) return false;
  if (orders !== undefined && !orders.has(letter.orderId)) return false;
  if (olderThanMs === undefined && newerThanMs === undefined) return true;
  if (letter.endedAt === undefined) return false;
  const ageMs = wall - letter.endedAt;
  return ageMs >= (olderThanMs ?? Number.NEGATIVE_INFINITY) && ageMs < (newerThanMs ?? Number.POSITIVE_INFINITY);
}

/** How many, by reason and by merchant, and since when. */
export class DeadLetterCounts {
  readonly byReason: Map<string, number> = new Map();
  readonly byMerchant: Map<string, number> = new Map();
  total = 0;
  bytes = 0;
  /** When the first and the last of them died, in milliseconds since the epoch. */
  oldest: number | undefined;
  newest: number | undefined;

  add({ reason, merchantId, bytes, endedAt }: DeadLetter): void {
    this.total++;
    this.bytes += bytes;
    this.byReason.set(reason, (this.byReason.get(reason) ?? 0) + 1);
    this.byMerchant.set(merchantId, (this.byMerchant.get(merchantId) ?? 0) + 1);
    if (endedAt === undefined) return;
    this.oldest = Math.min(this.oldest ?? endedAt, endedAt);
    this.newest = Math.max(this.newest ?? endedAt, endedAt);
  }
}

/** Largest first; equal ones by name. */
export function ranked(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
}
