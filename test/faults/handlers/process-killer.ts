import type { Handler } from '../../../src/index.ts';

/** Posts the order, but for the one that takes the whole process with it, as a native crash would. */
const handler: Handler = {
  async deliver(order, ctx) {
    if (order.json<{ act?: string }>().act === 'kills its process') process.kill(process.pid, 'SIGKILL');
    return (await ctx.http.post('', { body: order.body })).statusCode;
  },
};
export default handler;
