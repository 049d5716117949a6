import type { Handler } from '../../../src/index.ts';

/** Returns what its merchant's name says. */
const handler: Handler = {
  deliver({ merchantId }) {
    if (merchantId === 'number') return { posOrder: 17 };
    if (merchantId === 'large') return 'x'.repeat(5000);
    if (merchantId !== 'circle') return undefined;
    const circle: { itself?: unknown } = {};
    circle.itself = circle;
    return circle;
  },
};

export default handler;
