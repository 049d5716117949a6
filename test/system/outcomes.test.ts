import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withBroker } from '../helpers/broker.ts';
import { backlog, Collected, put } from '../helpers/queues.ts';
import { type Respond, Target } from '../helpers/target.ts';
import { startWorker } from '../helpers/worker.ts';

const broker = await withBroker();
const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** How each merchant answers; everybody else accepts. */
const scripts = new Map<string, Respond>();
const target = await Target.start({ after }, (call, nth) => scripts.get(call.merchant)?.(call, nth) ?? { status: 200 });

const merchants = join(scratch, 'merchants.json');
const ids = ['no', 'flaky', 'busy', 'overloaded', 'silent', 'reset', 'late', 'moved', 'hasty', 'unnamed'];
writeFileSync(
  merchants,
  JSON.stringify({
    allowHosts: ['127.0.0.1'],
    defaults: { url: target.urlTemplate },
    merchants: {
      ...Object.fromEntries(ids.map((id) => [id, {}])),
      closed: { url: 'http://127.0.0.1:1/orders' },
      once: { duplicates: 'never' },
      'once-broken': { duplicates: 'never' },
      'once-closed': { duplicates: 'never', url: 'http://127.0.0.1:1/orders' },
      confirms: { duplicates: 'confirm' },
      forgetful: { keyWindow: '1s' },
    },
  }),
);
const queue = broker.queueName();
const attempts = { timeoutMs: 1000, backoffMs: 100, maxAttempts: 3 };
const worker = await startWorker({ after }, { broker: [broker.url], queue, merchants, ...attempts });
const dead = await Collected.from(broker, `${queue}.dead`);
const ambiguous = await Collected.from(broker, `${queue}.ambiguous`);

/** An order whose message ID, and with it its idempotency key, is that of its merchant. */
function order(merchant: string, headers: Record<string, unknown> = {}) {
  const body = { id: `o-${merchant}`, merchant_id: merchant, note: 'Grüße, 注文 🍕', total: 12.5 };
  return { messageId: merchant, headers, body };
}

/** What one of our messages says of itself, by the names in its headers. */
function told({ properties: { headers } }: { properties: { headers?: Record<string, unknown> | undefined } }) {
  const { orderlane_reason: reason, orderlane_detail: detail, orderlane_attempt: attempt } = headers ?? {};
  return { reason, detail: String(detail), attempt };
}

describe('an order', { concurrency: true }, () => {
  test('that its merchant refuses is dead-lettered as rejected, as it was published, after one call', async () => {
    scripts.set('no', () => ({ status: 422 }));
    await put(broker, queue, { ...order('no', { trace: 't-1' }), contentType: 'application/json', appId: 'shop' });
    const message = await dead.message('no');
    assert.deepEqual(told(message), { reason: 'rejected', detail: 'HTTP 422', attempt: 1 });
    assert.equal(message.content.toString(), JSON.stringify(order('no').body));
    const { contentType, appId, deliveryMode, headers } = message.properties;
    assert.deepEqual([contentType, appId, deliveryMode], ['application/json', 'shop', 2]);
    assert.deepEqual([headers?.['trace'], headers?.['order_id'], headers?.['merchant_id']], ['t-1', 'o-no', 'no']);
    assert.equal(target.callsOf('no').length, 1);
  });

  test('that fails with 500 is sent again, with the same key and the same bytes, as attempt 2', async () => {
    scripts.set('flaky', (_call, nth) => ({ status: nth === 1 ? 500 : 200 }));
    await put(broker, queue, order('flaky'));
    await target.until('two calls', () => target.callsOf('flaky').length === 2);
    const calls = target.callsOf('flaky');
    assert.deepEqual(
      calls.map(({ attempt, body, path }) => [attempt, body.toString(), path]),
      [1, 2].map((attempt) => [attempt, JSON.stringify(order('flaky').body), '/flaky/orders']),
    );
    assert.deepEqual(new Set(calls.map(({ headers }) => headers['content-type'])), new Set(['application/json']));
    const retry = await worker.log.until((line) => line['msg'] === 'retry' && line['identity'] === 'flaky');
    assert.deepEqual([retry['outcome'], retry['reason']], ['ambiguous', 'HTTP 500']);
  });

  for (const [merchant, status] of [
    ['busy', 429],
    ['overloaded', 503],
  ] as const) {
    test(`that meets ${status} with Retry-After is not sent before that is over`, async () => {
      scripts.set(merchant, (_call, nth) =>
        nth === 1 ? { status, headers: { 'retry-after': '2' } } : { status: 200 },
      );
      await put(broker, queue, order(merchant));
      await target.until('two calls', () => target.callsOf(merchant).length === 2);
      const [first, second] = target.callsOf(merchant);
      assert.ok((second?.at as number) - (first?.at as number) >= 2000);
      assert.equal(second?.attempt, 2);
    });
  }

  test('that is not answered in time is ambiguous, and sent again', async () => {
    scripts.set('silent', (_call, nth) => (nth === 1 ? 'silent' : { status: 200 }));
    await put(broker, queue, order('silent'));
    await target.until('two calls', () => target.callsOf('silent').length === 2);
    const retry = await worker.log.until((line) => line['msg'] === 'retry' && line['identity'] === 'silent');
    assert.deepEqual([retry['outcome'], retry['reason']], ['ambiguous', 'no complete answer within 1000 ms']);
  });

  test('whose connection is reset is ambiguous, and sent again', async () => {
    scripts.set('reset', (_call, nth) => (nth === 1 ? 'reset' : { status: 200 }));
    await put(broker, queue, order('reset'));
    await target.until('two calls', () => target.callsOf('reset').length === 2);
    const retry = await worker.log.until((line) => line['msg'] === 'retry' && line['identity'] === 'reset');
    assert.equal(retry['outcome'], 'ambiguous');
  });

  test('that cannot be sent is tried again until its attempts are used up, then dead-lettered', async () => {
    await put(broker, queue, order('closed'));
    const { reason, detail, attempt } = told(await dead.message('closed'));
    assert.deepEqual([reason, attempt], ['max-attempts', 3]);
    assert.match(detail, /^after 3 attempts: .*ECONNREFUSED/);
    const retries = worker.log.matching((line) => line['msg'] === 'retry' && line['identity'] === 'closed');
    assert.deepEqual(
      retries.map((line) => [line['outcome'], line['attempt']]),
      [
        ['not-sent', 1],
        ['not-sent', 2],
      ],
    );
  });

  test('whose deadline has passed is dead-lettered as expired, and never sent', async () => {
    await put(broker, queue, order('late', { deadline: Date.now() - 1 }));
    assert.equal(told(await dead.message('late')).reason, 'expired');
    assert.equal(target.callsOf('late').length, 0);
  });

  test('is given no longer than its deadline, and not sent after it', async () => {
    scripts.set('hasty', () => 'silent');
    await put(broker, queue, order('hasty', { deadline: Date.now() + 700 }));
    const { reason, detail } = told(await dead.message('hasty'));
    assert.equal(reason, 'ambiguous');
    const [, ms] =
      /^may have been sent, and no time for another attempt: no complete answer within (\d+) ms$/.exec(detail) ?? [];
    assert.ok(Number(ms) <= 700, detail);
    assert.equal(target.callsOf('hasty').length, 1);
  });

  test('without a message ID keeps the key that it was given first, and shares it with no other message', async () => {
    scripts.set('unnamed', (_call, nth) => ({ status: nth === 1 ? 500 : 200 }));
    const messages = ['placed', 'changed', 'cancelled'].map((status) => ({
      body: { id: 'o-unnamed', merchant_id: 'unnamed', status },
    }));
    await put(broker, queue, ...messages);
    const calls = () => target.received.filter(({ merchant }) => merchant === 'unnamed');
    await target.until('six calls', () => calls().length === 6);
    const keys = Map.groupBy(calls(), ({ key }) => key);
    assert.equal(keys.size, 3);
    for (const [key, [first, second, ...more]] of keys) {
      assert.match(key, /^o-unnamed:[0-9a-f]{32}$/);
      assert.deepEqual([first?.attempt, second?.attempt, more.length], [1, 2, 0]);
      assert.ok(first?.body.equals(second?.body as Buffer));
    }
  });

  test('that is answered with a redirect is rejected, and the redirect not followed', async () => {
    scripts.set('moved', () => ({ status: 307, headers: { location: `${target.url}/elsewhere/orders` } }));
    await put(broker, queue, order('moved'));
    assert.deepEqual(told(await dead.message('moved')), { reason: 'rejected', detail: 'HTTP 307', attempt: 1 });
    assert.equal(target.callsOf('moved').length, 1);
    assert.ok(target.received.every(({ merchant }) => merchant !== 'elsewhere'));
  });

  for (const [merchant, respond, why] of [
    ['once', 'silent', /no complete answer within 1000 ms/],
    ['once-broken', { status: 500 }, /HTTP 500/],
  ] as const) {
    test(`of a merchant who may not get it twice is parked when it may have arrived (${merchant})`, async () => {
      scripts.set(merchant, () => respond);
      await put(broker, queue, order(merchant));
      const message = await ambiguous.message(merchant);
      const { reason, detail } = told(message);
      assert.equal(reason, 'ambiguous');
      assert.match(detail, why);
      assert.equal(message.content.toString(), JSON.stringify(order(merchant).body));
      assert.equal(target.callsOf(merchant).length, 1);
    });
  }

  test('of such a merchant that provably did not leave is tried again all the same', async () => {
    await put(broker, queue, order('once-closed'));
    assert.deepEqual(told(await dead.message('once-closed')).reason, 'max-attempts');
  });

  test('that nobody can confirm is parked when it may have arrived', async () => {
    scripts.set('confirms', () => ({ status: 502 }));
    await put(broker, queue, order('confirms'));
    assert.match(told(await ambiguous.message('confirms')).detail, /no handler can confirm it: HTTP 502/);
    assert.equal(target.callsOf('confirms').length, 1);
  });

  test('that may have arrived is parked once its merchant no longer remembers its key', async () => {
    scripts.set('forgetful', () => 'silent');
    await put(broker, queue, order('forgetful'));
    assert.match(told(await ambiguous.message('forgetful')).detail, /key window is over/);
    assert.equal(target.callsOf('forgetful').length, 1);
  });
});

const own = broker.queueName();
const handler = fileURLToPath(new URL('handlers/confirming.ts', import.meta.url));
const directory = join(scratch, 'confirming.json');
const asked = ['there', 'not-there', 'unsure'];
writeFileSync(
  directory,
  JSON.stringify({
    allowHosts: ['127.0.0.1'],
    defaults: { url: target.urlTemplate, duplicates: 'confirm' },
    merchants: Object.fromEntries(asked.map((id) => [id, {}])),
  }),
);
const options = { broker: [broker.url], queue: own, merchants: directory, handler, ...attempts };
const confirming = await startWorker({ after }, options);

describe('with a handler that can confirm, an order that may have arrived', { concurrency: true }, () => {
  test('is not sent again when the merchant has it', async () => {
    scripts.set('there', ({ path }) => (path === '/there/orders/confirm' ? { status: 200 } : 'silent'));
    await put(broker, own, order('there'));
    await target.until('the question', () => target.callsOf('there:confirm').length === 1);
    await confirming.log.until((line) => line['msg'] === 'retry' && line['identity'] === 'there');
    assert.equal(target.callsOf('there').length, 1);
  });

  test('is sent again, with the same key, when the merchant does not have it', async () => {
    scripts.set('not-there', ({ path }, nth) => {
      if (path === '/not-there/orders/confirm') return { status: 404 };
      return nth === 1 ? 'silent' : { status: 200 };
    });
    await put(broker, own, order('not-there'));
    await target.until('two calls', () => target.callsOf('not-there').length === 2);
    assert.deepEqual(
      target.received.filter(({ merchant }) => merchant === 'not-there').map(({ key, attempt }) => [key, attempt]),
      [
        ['not-there', 1],
        ['not-there:confirm', 2],
        ['not-there', 2],
      ],
    );
  });

  test('is asked about again, and not sent, while the merchant cannot say', async () => {
    scripts.set('unsure', ({ path }, nth) => {
      if (path === '/unsure/orders/confirm') return { status: nth === 1 ? 500 : 404 };
      return nth === 1 ? 'silent' : { status: 200 };
    });
    await put(broker, own, order('unsure'));
    await target.until('two calls', () => target.callsOf('unsure').length === 2);
    assert.deepEqual(
      target.received.filter(({ merchant }) => merchant === 'unsure').map(({ key, attempt }) => [key, attempt]),
      [
        ['unsure', 1],
        ['unsure:confirm', 2],
        ['unsure:confirm', 3],
        ['unsure', 3],
      ],
    );
  });
});

test('afterwards nothing is left, and no call was made that no attempt explains', async () => {
  worker.drain();
  const { stats, unfinished } = await worker.done;
  assert.deepEqual([unfinished, stats.joined, stats.deferred], [0, 0, 0]);
  assert.deepEqual(await backlog(broker, queue), {});
  assert.equal(target.receipts.duplicates, 0);
  assert.equal(target.receipts.bodyChanged, 0);
});
