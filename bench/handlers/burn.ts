import { defineHandler, type Handler } from '../../src/index.ts';
import { burn } from './burning.ts';

/** Burns CPU on one merchant's orders, and posts all of them as the forwarder would. */
const handler: Handler = defineHandler({
  deliver: async (order, ctx) => {
    burn(order.merchantId);
    await ctx.http.post('', { body: order.body, headers: { 'content-type': 'application/json' } });
  },
});

export default handler;
