/**
 * A handler that makes two calls an order: create it at the merchant, then tell the payment. In three terminals:
 *
 *     bin/orderlane merchants
 *     bin/orderlane work --handler examples/create-and-pay.ts --merchants examples/merchants.json
 *     bin/orderlane publish --generate 100 --merchants 3
 *
 * Both calls may be made again after a failure, each with its own idempotency key, so that a merchant who honours the key
 * does each once.
 */
import { defineHandler } from 'orderlane';

interface PosOrder {
  readonly id: string;
  readonly totals: { readonly total: number };
}

export default defineHandler({
  async deliver(order, ctx) {
    // The merchant's URL, authentication, time-outs and idempotency key are in ctx.http; it throws on error statuses.
    await ctx.http.post('', { body: order.body, headers: { 'content-type': 'application/json' } });
    const { totals } = order.json<PosOrder>();
    await ctx.call('pay').post('pay', { json: { amount: totals.total } });
  },
});
