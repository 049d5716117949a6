import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { connect, type Options } from 'amqplib';
import { below, type Random } from '../../../src/sim/random.ts';
import { Target } from '../../helpers/target.ts';
import type { Row } from '../row.ts';

const MB = 2 ** 20;
const DEEP = 100_000;

interface Input {
  readonly body: Buffer;
  readonly headers?: Options.Publish['headers'];
}

/** Makes one message of each kind from an order that would be good. */
const KINDS: readonly ((order: string, random: Random) => Input)[] = [
  (order) => ({ body: Buffer.from(order) }),
  (order) => ({
    body: Buffer.from(order),
    headers: { merchant_id: 'm-1', order_id: 'o', odd: { nested: [1, null, true] } },
  }),
  // Bytes changed, cut or put in at random: mostly neither JSON nor UTF-8 any more.
  (order, random) => ({ body: changed(Buffer.from(order), random) }),
  (order, random) => ({ body: changed(Buffer.from(order), random), headers: { merchant_id: 'm-1', order_id: 'o' } }),
  (_order, random) => ({ body: Buffer.from(Array.from({ length: below(random, 300) }, () => below(random, 256))) }),
  () => ({ body: Buffer.from('{"id":"o-1"}') }),
  () => ({ body: Buffer.from('{"id":"o-1","merchant_id":"nobody knows"}') }),
  () => ({ body: Buffer.from('{"id":"o-1","merchant_id":"__proto__"}') }),
  () => ({ body: Buffer.from('{"id":"o-1","__proto__":{"merchant_id":"m-1"}}') }),
  () => ({ body: Buffer.from('{"id":"o-1","merchant_id":"m-1","constructor":{"prototype":{"x":1}}}') }),
  () => ({ body: Buffer.from('['.repeat(DEEP) + ']'.repeat(DEEP)) }),
  () => ({ body: Buffer.from(`{"id":"o-1","merchant_id":"m-1","deep":${'['.repeat(DEEP)}${']'.repeat(DEEP)}}`) }),
  () => ({ body: Buffer.alloc(16 * MB - 1_000, 'x') }),
];

/** Whatever comes is delivered byte for byte, or dead-lettered with its bytes; and good orders among it are delivered. */
export const badMessages: Row = {
  name: 'bad-messages',
  fault: 'bad messages: bytes, JSON, IDs, sizes and depths, by seeded fuzz',
  short: true,
  async play(stage) {
    const count = stage.full ? 5_000 : 400;
    const target = await Target.start(stage);
    stage.receipts = target.receipts;
    const directory = join(stage.dir, 'merchants.json');
    const known = { 'm-1': {}, 'm-2': {} };
    await writeFile(
      directory,
      JSON.stringify({ allowHosts: ['127.0.0.1'], defaults: { url: target.urlTemplate }, merchants: known }),
    );
    await stage.publish({ orders: 100, merchants: 2 }); // good ones, and the queue
    const connection = await connect(stage.broker.url);
    const channel = await connection.createConfirmChannel();
    const sent = new Map<string, Buffer>();
    for (let n = 0; n < count; n++) {
      const key = `fuzz-${n}`;
      const order = JSON.stringify({
        id: `o-${n}`,
        merchant_id: 'm-2',
        customer: 'Zoë',
        total: below(stage.random, 10_000),
      });
      // Each kind once, and then at random, but no more of the one that is 16 MB.
      const kind = n < KINDS.length ? n : below(stage.random, KINDS.length - 1);
      const { body, headers = {} } = (KINDS[kind] as (typeof KINDS)[number])(order, stage.random);
      channel.sendToQueue(stage.queue, body, { persistent: true, messageId: key, headers });
      sent.set(key, body);
    }
    await channel.waitForConfirms();
    await connection.close();
    const worker = await stage.work('--merchants', directory);
    await stage.ended(worker);

    const delivered = new Map(target.received.map(({ key, merchant, body }) => [key, { merchant, body }]));
    const dead: string[] = [];
    for (const [key, body] of sent) {
      const call = delivered.get(key);
      stage.published(key, call?.merchant ?? '');
      if (call === undefined) dead.push(key);
      else if (!call.body.equals(body)) throw new Error(`expected ${key} byte for byte, got ${call.body.length} bytes`);
    }
    return {
      bound: 0,
      recoveredMs: [],
      deadLettered: dead.length,
      judgeDead: (letters) =>
        letters
          .filter(({ identity, reason, bodyHash }) => {
            const body = sent.get(identity);
            return reason !== 'malformed' || body === undefined || crc32(body) !== bodyHash;
          })
          .map(({ identity, reason }) => `the dead letter ${identity}: ${reason}, or its bytes have changed`),
    };
  },
};

/** With a few of its bytes changed, taken out or put in. */
function changed(bytes: Buffer, random: Random): Buffer {
  const list = [...bytes];
  for (let n = 1 + below(random, 4); n > 0; n--) {
    const at = below(random, list.length);
    const kind = below(random, 3);
    if (kind === 0) list[at] = below(random, 256);
    else if (kind === 1) list.splice(at, 1 + below(random, 10));
    else list.splice(at, 0, below(random, 256), below(random, 256));
    if (list.length === 0) break;
  }
  return Buffer.from(list);
}
