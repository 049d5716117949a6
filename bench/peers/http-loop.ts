/** No broker: orders like the others' from memory, so many calls in flight. */
import { generateOrder, merchantName } from '../../src/sim/orders.ts';
import { seeded } from '../../src/sim/random.ts';
import type { Job } from '../peer.ts';
import { postWith, urlOf } from './http-client.ts';

const client = process.argv[2] as 'got' | 'undici';
const job = JSON.parse(process.argv[3] as string) as Job;
const MERCHANTS = 1000;
const BODIES = 1000;

const post = postWith(client);
const random = seeded(1);
const bodies = Array.from({ length: BODIES }, (_, n) =>
  JSON.stringify(generateOrder(random, { id: `ord-${n}`, merchantId: merchantName(n % MERCHANTS), placedAt: 0 })),
);
let next = 0;

async function loop(): Promise<void> {
  while (next < job.warmup + job.orders) {
    const n = next++;
    await post(
      urlOf(job.url as string, merchantName(n % MERCHANTS)),
      bodies[n % BODIES] as string,
      `loop-${process.pid}-${n}`,
    );
  }
}

process.once('SIGTERM', () => process.exit(0));
setInterval(() => undefined, 60_000); // stays until it is told to go, as the others do
await Promise.all(Array.from({ length: job.concurrency }, loop));
