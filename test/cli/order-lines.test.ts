import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OrderLine, readOrders } from '../../src/cli/order-lines.ts';

const OPTIONS = { name: 'orders.ndjson', merchantKey: '/merchant_id', orderIdKey: '/id' };

/** Reads text that comes in chunks of this many bytes. */
async function read(input: string | Buffer, options = OPTIONS, chunkBytes = 1 << 16): Promise<OrderLine[]> {
  const bytes = Buffer.from(input);
  async function* chunks(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  }
  const orders: OrderLine[] = [];
  for await (const order of readOrders(chunks(), options)) orders.push(order);
  return orders;
}

test('each line is an order, its bytes untouched, wherever the chunks end', async () => {
  const lines = [
    '{"id":"a",  "merchant_id":"ü"}',
    '{"merchant_id":"m","id":1.50}',
    `{"id":"c","merchant_id":"m","pad":"${'é'.repeat(300)}"}`,
  ];
  for (const chunkBytes of [1, 2, 3, 7, 64, 1 << 16]) {
    const orders = await read(`${lines.join('\n')}\n`, OPTIONS, chunkBytes);
    assert.deepEqual(
      orders.map(({ body }) => body.toString()),
      lines,
    );
    assert.deepEqual(
      orders.map(({ orderId, merchantId }) => [orderId, merchantId]),
      [
        ['a', 'ü'],
        ['1.5', 'm'],
        ['c', 'm'],
      ],
    );
    assert.equal(new Set(orders.map(({ messageId }) => messageId)).size, 3);
  }
});

test('lines may end with CRLF, the last one with nothing, and blank ones are skipped', async () => {
  const orders = await read('\n{"id":1,"merchant_id":2}\r\n \t\r\n\r\n{"id":3,"merchant_id":4}');
  assert.deepEqual(
    orders.map(({ body }) => body.toString()),
    ['{"id":1,"merchant_id":2}', '{"id":3,"merchant_id":4}'],
  );
  assert.deepEqual(await read(''), []);
  assert.deepEqual(await read('\n\n'), []);
});

test('JSON pointers say where the IDs are, and an order without an ID is known by its message ID', async () => {
  const options = { ...OPTIONS, merchantKey: '/restaurant/0/id', orderIdKey: '/order' };
  const [order] = (await read('{"restaurant":[{"id":"r7"}]}', options)) as [OrderLine];
  assert.equal(order.merchantId, 'r7');
  assert.equal(order.orderId, order.messageId);
});

const BAD: readonly (readonly [string, string | Buffer, RegExp])[] = [
  ['not JSON', '{"id":1,', /the body is not JSON/],
  ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), /the body is not UTF-8/],
  ['without a merchant ID', '{"id":1}', /no merchant ID: .*\/merchant_id/],
  ['with an empty merchant ID', '{"id":1,"merchant_id":""}', /no merchant ID/],
  ['two values', '{"id":1,"merchant_id":2}{"id":1,"merchant_id":2}', /the body is not JSON/],
];
for (const [what, line, why] of BAD) {
  test(`a line that is bad (${what}) ends it, and is named by its number`, async () => {
    const good = '{"id":1,"merchant_id":2}\n\n{"id":1,"merchant_id":2}\n';
    const input = Buffer.concat([Buffer.from(good), Buffer.from(line), Buffer.from(`\n${good}`)]);
    await assert.rejects(read(input), (error: Error) => {
      assert.match(error.message, /^orders\.ndjson, line 4: /);
      assert.match(error.message, why);
      assert.match(error.message, /Expected one order a line, as JSON.*2 orders before it are\.$/);
      return true;
    });
  });
}

test('a line that never ends is refused before it fills the memory', async () => {
  let chunks = 0;
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) {
      chunks++;
      yield Buffer.alloc(1024 * 1024, ' ');
    }
  }
  await assert.rejects(readOrders(endless(), OPTIONS).next(), /line 1: longer than 16777216 bytes/);
  assert.equal(chunks, 17);
});
