import type { Handler } from '../../../src/index.ts';

/** Ways for a thread to end. */
const ACTS: Readonly<Record<string, () => void>> = {
  'throws unheard': () => {
    setTimeout(() => {
      throw new Error('nobody catches this');
    }, 5);
  },
  'rejects unheard': () => {
    void Promise.reject(new Error('nobody listens'));
  },
  exits: () => process.exit(0),
  'takes all memory': () => {
    const kept: number[][] = [];
    for (;;) kept.push(Array.from({ length: 1_000_000 }, (_, n) => n + 0.5));
  },
  loops: () => {
    for (;;);
  },
};

/** Posts the order, but for those that say how its thread is to end. */
const handler: Handler = {
  async deliver(order, ctx) {
    const { act } = order.json<{ act?: string }>();
    if (act === undefined) return (await ctx.http.post('', { body: order.body })).statusCode;
    ACTS[act]?.();
    return await new Promise(() => undefined);
  },
};
export default handler;
