import { DeliveryError, type Handler } from '../../../src/index.ts';

/** Posts the order, but for those that say what else is to become of them. */
const handler: Handler = {
  async deliver(order, ctx) {
    const { act } = order.json<{ act?: string }>();
    switch (act) {
      case undefined:
        return (await ctx.http.post('', { body: order.body })).statusCode;
      case 'forgets':
        void ctx.http.post('', { body: order.body });
        return 'nobody waited';
      case 'throws':
        throw new Error('out of paper');
      case 'exits':
        return process.exit(0);
      case 'never ends':
        return await new Promise(() => undefined);
      case 'loops':
        for (;;);
      case 'rejects unheard':
        void Promise.reject(new Error('nobody listens'));
        return await ctx.http.post('', { body: order.body });
      case 'rejected':
      case 'not-sent':
      case 'ambiguous':
      case 'throttled':
        throw new DeliveryError(act, 'as the order says');
      case 'logs':
        ctx.log.info({ posVersion: '4.2', card: '4111111111111111', status: 201 }, 'from the handler');
        return (await ctx.http.post('', { body: order.body })).statusCode;
      default:
        throw new Error(`no such act: ${act}`);
    }
  },
};
export default handler;
