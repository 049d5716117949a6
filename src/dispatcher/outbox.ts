import type { Merchant } from '../order.ts';
import { type Batch, ORDER_FIELDS } from '../protocol.ts';
import type { Entry } from './ledger.ts';

/** Orders on their way to a thread: they go in batches, and what the thread must know of merchants goes with them. */
export class Outbox {
  /** What the thread knows of each merchant. */
  readonly #known = new Map<string, unknown>();
  #orders: (string | number)[] = [];
  #merchants: (Merchant | string)[] = [];
  /** The merchant that the thread was sent last as a whole. */
  #pattern: Merchant | undefined;
  #forget: string[] = [];

  get size(): number {
    return this.#orders.length / ORDER_FIELDS;
  }

  add(entry: Entry, slot: number, generation: number): void {
    const { delivery } = entry;
    const { merchant } = entry.lane;
    if (this.#known.get(merchant.id) !== merchant) {
      this.#known.set(merchant.id, merchant);
      this.#tell(merchant);
    }
    this.#orders.push(
      slot,
      generation,
      delivery.merchantId,
      delivery.orderId,
      delivery.identity,
      delivery.attempt,
      entry.confirmFirst ? 1 : 0,
      delivery.deadlineAt,
      delivery.publishedAt,
      delivery.body,
    );
  }

  #tell(merchant: Merchant): void {
    if (this.#pattern !== undefined && isLike(merchant, this.#pattern)) {
      this.#merchants.push(merchant.id, merchant.url ?? '');
      return;
    }
    this.#pattern = merchant;
    this.#merchants.push(merchant);
  }

  /** A merchant's lane is gone: its entry need not be kept. */
  forget(merchantId: string): void {
    if (this.#known.delete(merchantId)) this.#forget.push(merchantId);
  }

  /** All that has gathered, as one batch. */
  take(): Batch {
    const batch: Batch = {
      kind: 'batch',
      orders: this.#orders,
      ...(this.#merchants.length === 0 ? {} : { merchants: this.#merchants }),
      ...(this.#forget.length === 0 ? {} : { forget: this.#forget }),
    };
    this.#clear();
    return batch;
  }

  /** For a new thread, which knows nothing. */
  reset(): void {
    this.#known.clear();
    this.#pattern = undefined;
    this.#clear();
  }

  #clear(): void {
    this.#orders = [];
    this.#merchants = [];
    this.#forget = [];
  }
}

/** Whether they differ in nothing but ID and URL. Headers that are equal are mostly the same object. */
function isLike(one: Merchant, other: Merchant): boolean {
  const keys = Object.keys(one) as (keyof Merchant)[];
  if (keys.length !== Object.keys(other).length) return false;
  return keys.every((key) => key in other && (key === 'id' || key === 'url' || one[key] === other[key]));
}
