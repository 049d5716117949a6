import { existsSync, writeFileSync } from 'node:fs';
import type { Handler } from '../../../src/index.ts';

/** Keeps its thread busy until there is the file that the order names; makes it known by another that it has begun. */
const handler: Handler = {
  deliver(order) {
    const { begun, until } = order.json<{ begun: string; until: string }>();
    writeFileSync(begun, '');
    while (!existsSync(until));
  },
};
export default handler;
