import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { withBroker } from '../helpers/broker.ts';
import { backlog, Collected, type Message, put, putWithTool } from '../helpers/queues.ts';
import { Target } from '../helpers/target.ts';
import { startWorker } from '../helpers/worker.ts';

const broker = await withBroker();
const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const target = await Target.start({ after });
const merchants = join(scratch, 'merchants.json');
writeFileSync(
  merchants,
  JSON.stringify({ allowHosts: ['127.0.0.1'], defaults: { url: target.urlTemplate }, merchants: { known: {} } }),
);
const queue = broker.queueName();
const worker = await startWorker(
  { after },
  { broker: [broker.url], queue, merchants, maxMessageBytes: 500_000, backoffMs: 100, maxAttempts: 2 },
);
const dead = await Collected.from(broker, `${queue}.dead`);

const known = { order_id: 'o', merchant_id: 'known' };
const DEEP = 100_000;
const deepArray = '['.repeat(DEEP) + ']'.repeat(DEEP);
const deepObject = `${'{"a":'.repeat(DEEP / 2)}1${'}'.repeat(DEEP / 2)}`;

/** What is published, and what its dead letter's detail says. */
const BAD: Readonly<Record<string, Message & { detail: RegExp }>> = {
  'text that is not JSON': {
    body: 'order 7: two pizzas',
    detail: /^the body is not JSON \(at character 0\)$|^the body is not JSON$/,
  },
  'JSON that is cut short': {
    body: '{"id":"o-1","merchant_id":"known","customer":"Ada Lovel',
    detail: /^the body is not JSON/,
  },
  'an empty body': { body: '', detail: /^the body is not JSON/ },
  'an empty body whose headers tell it all': { body: '', headers: known, detail: /^the body is not JSON/ },
  'text that is not JSON, with headers that tell it all': {
    body: 'two pizzas',
    headers: known,
    detail: /^the body is not JSON/,
  },
  'bytes that are not UTF-8': { body: Buffer.from([0x7b, 0xff, 0xfe, 0x00, 0x7d]), detail: /^the body is not UTF-8$/ },
  'bytes that are not UTF-8, with headers that tell it all': {
    body: Buffer.from([0xc3, 0x28]),
    headers: known,
    detail: /^the body is not UTF-8$/,
  },
  'a byte order mark before the JSON': {
    body: '\uFEFF{"id":"o-2","merchant_id":"known"}',
    detail: /^the body is not JSON/,
  },
  'no merchant ID': {
    body: { id: 'o-3' },
    detail: /^no merchant ID: expected text or a number in the header merchant_id or at \/merchant_id/,
  },
  'a merchant ID that is an object': { body: { id: 'o-4', merchant_id: { id: 'known' } }, detail: /^no merchant ID/ },
  'a merchant ID that is empty': { body: { id: 'o-5', merchant_id: '' }, detail: /^no merchant ID/ },
  'no order ID and no message ID': { body: { merchant_id: 'known' }, type: 'unnamed', detail: /^no order ID/ },
  'a merchant that the directory does not know': {
    body: { id: 'o-6', merchant_id: 'stranger' },
    detail: /^unknown merchant 'stranger'$/,
  },
  'a merchant called __proto__': {
    body: '{"id":"o-7","merchant_id":"__proto__"}',
    detail: /^unknown merchant '__proto__'$/,
  },
  'a merchant called constructor': {
    body: { id: 'o-8', merchant_id: 'constructor' },
    detail: /^unknown merchant 'constructor'$/,
  },
  'a merchant ID that hides in __proto__': {
    body: '{"id":"o-9","__proto__":{"merchant_id":"known"}}',
    detail: /^no merchant ID/,
  },
  'JSON that is no object': { body: '"known"', detail: /^no merchant ID/ },
  null: { body: 'null', detail: /^no merchant ID/ },
  'an array 100,000 deep': { body: deepArray, detail: /^no merchant ID/ },
  'more than --max-message-bytes': {
    body: { id: 'o-10', merchant_id: 'known', note: 'x'.repeat(500_000) },
    detail: /^5000\d\d bytes, more than --max-message-bytes 500000$/,
  },
};

function bytesOf({ body }: Message): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

describe('dead-lettered as malformed, byte for byte, saying why, and logged once:', { concurrency: true }, () => {
  for (const [what, { detail, ...message }] of Object.entries(BAD)) {
    test(what, async () => {
      const named = message.type === 'unnamed' ? {} : { messageId: what };
      await put(broker, queue, { ...message, ...named });
      const letter = await (message.type === 'unnamed'
        ? dead.first('it', ({ properties }) => properties.type === 'unnamed')
        : dead.message(what));
      const headers = letter.properties.headers ?? {};
      assert.equal(headers['orderlane_reason'], 'malformed');
      assert.match(String(headers['orderlane_detail']), detail);
      assert.ok(letter.content.equals(bytesOf(message)));
      assert.equal(letter.properties.deliveryMode, 2);
      const lines = worker.log.matching(
        (line) => line['detail'] === headers['orderlane_detail'] && line['identity'] === headers['orderlane_identity'],
      );
      assert.deepEqual(
        lines.map(({ msg, level }) => [msg, level]),
        [['dead-lettered', 40]],
      );
    });
  }
});

test('a body 100,000 deep is delivered byte for byte, by a merchant ID in the body as by headers', async () => {
  const body = `{"id":"o-deep","merchant_id":"known","deep":${deepObject}}`;
  await put(
    broker,
    queue,
    { messageId: 'deep', body },
    { messageId: 'deep-by-headers', headers: known, body: deepArray },
  );
  await target.until('both', () => target.callsOf('deep').length + target.callsOf('deep-by-headers').length === 2);
  assert.ok(target.callsOf('deep')[0]?.body.equals(Buffer.from(body)));
  assert.ok(target.callsOf('deep-by-headers')[0]?.body.equals(Buffer.from(deepArray)));
});

test('a body with a key __proto__ is an order like any other', async () => {
  const body = '{"__proto__":{"merchant_id":"stranger"},"id":"o-11","merchant_id":"known"}';
  await put(broker, queue, { messageId: 'proto', body });
  await target.until('it', () => target.callsOf('proto').length === 1);
  assert.equal(target.callsOf('proto')[0]?.body.toString(), body);
});

test('headers of odd types and impossible values do not matter', async () => {
  const headers = {
    merchant_id: { deep: ['known'] },
    order_id: true,
    deadline: 'tomorrow',
    timestamp_in_ms: Number.MAX_VALUE,
    not_before: '2999-01-01',
    orderlane_hop: 'x',
    orderlane_attempt: -1,
    orderlane_crashes: 1.5,
    orderlane_identity: null,
    when: { '!': 'timestamp', value: 1 },
    amount: { '!': 'decimal', value: { digits: 12345, places: 2 } },
    bytes: Buffer.from([0, 255]),
  };
  await put(broker, queue, { messageId: 'odd', headers, body: { id: 'o-12', merchant_id: 'known' } });
  await target.until('it', () => target.callsOf('odd').length === 1);
  assert.equal(target.callsOf('odd')[0]?.attempt, 1);
});

test('IDs of any characters make idempotency keys that a header can carry', async () => {
  const body = { id: '注文 7', merchant_id: 'known' };
  await put(broker, queue, { messageId: 'two\r\nlines, 100%', body }, { body });
  const keys = () => target.received.filter((call) => call.body.equals(bytesOf({ body }))).map(({ key }) => key);
  await target.until('both', () => keys().length === 2);
  const [given, made] = keys().toSorted((a, b) => Number(b.startsWith('two')) - Number(a.startsWith('two')));
  assert.equal(decodeURIComponent(given ?? ''), 'two\r\nlines, 100%');
  assert.match(decodeURIComponent(made ?? ''), /^注文 7:[0-9a-f]{32}$/);
});

test('afterwards nothing is left', async () => {
  worker.drain();
  await worker.done;
  assert.deepEqual(await backlog(broker, queue), {});
});

/** A worker of its own: whatever the test does to it stays there. */
async function alone(t: TestContext): Promise<{ own: string; letters: Collected }> {
  const own = broker.queueName();
  await startWorker(t, { broker: [broker.url], queue: own, merchants });
  return { own, letters: await Collected.from(broker, `${own}.dead`) };
}

test('headers that leave no room for ours keep no message, this or another, from being dead-lettered', async (t) => {
  const { own, letters } = await alone(t);
  const headers = { blob: 'x'.repeat(65_450) };
  await put(broker, own, { messageId: 'full', headers, body: 'no JSON' }, { messageId: 'next', body: 'no JSON' });
  await letters.message('next');
  assert.equal((await letters.message('full')).content.toString(), 'no JSON');
});

test('properties that are not UTF-8 keep no message, this or another, from being dead-lettered', async (t) => {
  const { own, letters } = await alone(t);
  // Read as text, each of its bytes becomes a character of three, and 255 of those are too many for a property.
  await putWithTool(broker, own, '-C "$(printf "\\\\377%.0s" $(seq 255))" -b "no JSON, odd"');
  await put(broker, own, { messageId: 'next', body: 'no JSON' });
  await letters.message('next');
  await letters.first('the odd one', ({ content }) => content.toString() === 'no JSON, odd');
});
