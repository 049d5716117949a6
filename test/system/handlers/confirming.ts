import type { Handler } from '../../../src/index.ts';

/** Posts the order, and asks the merchant at `confirm` whether it is there. */
const handler: Handler = {
  async deliver(order, ctx) {
    await ctx.http.post('', { body: order.body });
  },
  async confirm(_order, ctx) {
    const { statusCode } = await ctx.call('confirm').get('confirm', { throwHttpErrors: false });
    if (statusCode === 200) return 'there';
    if (statusCode === 404) return 'not-there';
    throw new Error(`HTTP ${statusCode}`);
  },
};
export default handler;
