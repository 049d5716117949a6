import type { Delivery } from '../../../src/broker/source.ts';
import { type Entry, Ledger as RealLedger } from '../../../src/dispatcher/ledger.ts';

export * from '../../../src/dispatcher/ledger.ts';

/** Takes the change of an order for a redelivery of the order. */
export class Ledger extends RealLedger {
  override sameCopy(_key: string, { orderId, merchantId }: Delivery): Entry | undefined {
    for (const entry of this.entries()) {
      if (entry.delivery.orderId === orderId && entry.delivery.merchantId === merchantId) return entry;
    }
    return undefined;
  }
}
