import { defineHandler, type Handler } from '../../src/index.ts';

/** Posts orders as the forwarder would. */
const handler: Handler = defineHandler({
  deliver: async (order, ctx) => {
    await ctx.http.post('', { body: order.body, headers: { 'content-type': 'application/json' } });
  },
});

export default handler;
