import type { Lane } from '../lane/lane.ts';
import type { Merchant } from '../order.ts';
import { type Batch, ORDER_FIELDS } from '../protocol.ts';
import type { Entry } from './ledger.ts';

/** Orders on their way to a thread: they go in batches, and what the thread must know of merchants goes with them. */
export class Outbox {
  #orders: (string | number)[] = [];
  #merchants: (Merchant | string)[] = [];
  /** The merchant that the thread was sent last as a whole. */
  #pattern: Merchant | undefined;
  #forget: string[] = [];
  /** Which thread they are for. What it knows of a merchant is noted in the lane, which is at hand: a map of all merchants is not. */
  #thread = 1;

  get size(): number {
    return this.#orders.length / ORDER_FIELDS;
  }

  add(entry: Entry, slot: number, generation: number): void {
    const { delivery, lane } = entry;
    if (lane.told !== lane.merchant || lane.toldThread !== this.#thread) {
      lane.told = lane.merchant;
      lane.toldThread = this.#thread;
      this.#tell(lane.merchant);
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

  /** A lane is gone: what the thread knows of its merchant need not be kept. */
  forget(lane: Lane<Entry>): void {
    if (lane.toldThread !== this.#thread) return;
    this.#forget.push(lane.merchantId);
    lane.told = undefined; // an order of its that waits apart from it may yet be sent
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
    this.#thread++;
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
