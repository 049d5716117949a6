import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { afterEach, beforeEach, test } from 'node:test';
import type { Clock } from '../../src/clock.ts';
import { type Merchants, type MerchantsOptions, type MerchantsStats, startMerchants } from '../../src/sim/merchants.ts';
import type { Receipt } from '../../src/sim/receipts.ts';
import { parseScenario } from '../../src/sim/scenario.ts';

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

class StillClock implements Clock {
  ms = 0;
  now(): number {
    return this.ms;
  }
  wall(): number {
    return 1_700_000_000_000 + this.ms;
  }
}

const clock = new StillClock();
const running: Merchants[] = [];

beforeEach(() => {
  clock.ms = 0;
});

afterEach(async () => {
  for (const merchants of running.splice(0)) await merchants.stop();
});

async function start(scenario: object = {}, options: MerchantsOptions = {}): Promise<Merchants> {
  const merchants = await startMerchants({ scenario: parseScenario(scenario), clock, ...options });
  running.push(merchants);
  return merchants;
}

async function read(response: IncomingMessage): Promise<Reply> {
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}

async function call(url: string, method: string, headers: Record<string, string>, body = ''): Promise<Reply> {
  const sent = request(url, { method, headers, agent: false });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return read(response);
}

interface Order {
  readonly key?: string;
  readonly attempt?: number;
  readonly merchant?: string;
  readonly body?: string;
}

function headersOf({ key, attempt = 1 }: Order): Record<string, string> {
  return { ...(key === undefined ? {} : { 'Idempotency-Key': key }), 'Orderlane-Attempt': String(attempt) };
}

function post(merchants: Merchants, order: Order = {}): Promise<Reply> {
  const url = `${merchants.url}/${order.merchant ?? 'm-1'}/orders`;
  return call(url, 'POST', headersOf(order), order.body ?? '{"id":"o-1"}');
}

/** Sends an order that gets no answer; resolves, when the merchants have it, to what hangs up. */
async function postHeld(
  merchants: Merchants,
  order: Order = {},
): Promise<{ hangUp: () => void; closed: Promise<unknown> }> {
  const held = merchants.stats(0).inFlight + 1;
  const sent = request(`${merchants.url}/${order.merchant ?? 'm-1'}/orders`, {
    method: 'POST',
    headers: headersOf(order),
    agent: false,
  });
  const closed = once(sent, 'error').then(([error]: unknown[]) => error);
  sent.end('{}');
  await merchants.until(({ inFlight }) => inFlight === held);
  return { hangUp: () => sent.destroy(), closed };
}

test('an order is accepted, and its receipt says when and how', async () => {
  const merchants = await start();
  clock.ms = 250;
  const { status, body, headers } = await post(merchants, { key: 'k' });
  assert.deepEqual([status, body, headers['content-type']], [200, '{"accepted":true}', 'application/json']);
  await merchants.until(({ accepted }) => accepted === 1);
  assert.deepEqual(merchants.receipts.get('k'), {
    key: 'k',
    merchant: 'm-1',
    sends: 1,
    attempts: { 1: 1 },
    repeats: 0,
    afterAccepted: 0,
    duplicates: 0,
    answers: { 200: 1 },
    accepted: 1,
    lastSentAt: 1_700_000_000_250,
    acceptedAt: 1_700_000_000_250,
    bodyChanged: false,
    merchantChanged: false,
  });
});

test('the same attempts at the same messages get the same answers in every run, in whatever order they come', async () => {
  const scenario = { seed: 7, default: { failing: { status: 500, fraction: 0.5 } } };
  const keys = Array.from({ length: 30 }, (_, n) => `k${n}`);
  const answers = async (merchants: Merchants, order: readonly string[]): Promise<Map<string, number>> => {
    const all = new Map<string, number>();
    for (const key of order) all.set(key, (await post(merchants, { key })).status);
    return all;
  };
  const first = await answers(await start(scenario), keys);
  const second = await answers(await start(scenario), keys.toReversed());
  assert.deepEqual(new Set(first.values()), new Set([200, 500]));
  for (const key of keys) assert.equal(second.get(key), first.get(key), key);
});

test('the URL template is the URL with the braces in it', async () => {
  const merchants = await start();
  assert.match(merchants.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(merchants.urlTemplate, `${merchants.url}/{merchantId}/orders`);
});

test('many orders over few connections are each received once', async () => {
  const merchants = await start();
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  await Promise.all(
    Array.from({ length: 500 }, async (_, i) => {
      const sent = request(`${merchants.url}/m-${i % 20}/orders`, {
        method: 'POST',
        headers: headersOf({ key: `k${i}` }),
        agent,
      });
      sent.end(`{"id":${i}}`);
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      await read(response);
    }),
  );
  agent.destroy();
  await merchants.until(({ accepted }) => accepted === 500);
  const { requests, inFlight, messages, merchants: called, top } = merchants.stats();
  assert.deepEqual({ requests, inFlight, called }, { requests: 500, inFlight: 0, called: 20 });
  assert.deepEqual(messages, { received: 500, accepted: 500, duplicates: 0, bodyChanged: 0 });
  assert.deepEqual([top.length, top[0]?.requests, top[0]?.accepted], [20, 25, 25]);
});

test('a merchant ID may be any text, and a path below orders is its own too', async () => {
  const merchants = await start();
  for (const path of ['/caf%C3%A9%2F1/orders', '/__proto__/orders/pay', '/m/orders?x=1']) {
    assert.equal((await call(merchants.url + path, 'POST', {})).status, 200, path);
  }
  await merchants.until(({ accepted }) => accepted === 3);
  assert.deepEqual(
    merchants
      .stats()
      .top.map(({ merchant }) => merchant)
      .sort(),
    ['__proto__', 'café/1', 'm'],
  );
});

test('what is no order is refused, told what was expected, and not counted', async () => {
  const merchants = await start();
  for (const [method, path] of [
    ['GET', '/m/orders'],
    ['POST', '/m/ordersx'],
    ['POST', '/orders'],
    ['POST', '//orders'],
    ['POST', '/%ff/orders'],
    ['POST', '/'],
  ] as const) {
    const { status, body } = await call(merchants.url + path, method, {});
    assert.equal(status, 404, path);
    assert.deepEqual(JSON.parse(body), { error: `expected POST /{merchantId}/orders, got ${method} ${path}` });
  }
  assert.deepEqual([merchants.stats().requests, merchants.stats().merchants], [0, 0]);
});

test('orders without an idempotency key are counted for their merchant', async () => {
  const merchants = await start();
  await post(merchants);
  await post(merchants, { key: '' });
  await merchants.until(({ accepted }) => accepted === 2);
  const { unkeyed, top, messages } = merchants.stats();
  assert.deepEqual([unkeyed, top[0]?.unkeyed, messages.received], [2, 2, 0]);
});

test('repeats, sends after acceptance and changed bodies are told from retries', async () => {
  const merchants = await start({ rules: [{ merchants: { ids: ['bad'] }, failing: { status: 500 } }] });
  for (const attempt of [1, 2, 2]) await post(merchants, { key: 'retried', merchant: 'bad', attempt });
  const large = 'x'.repeat(300_000);
  await post(merchants, { key: 'again', body: large });
  await merchants.until(({ accepted }) => accepted === 1);
  await post(merchants, { key: 'again', attempt: 2, body: `y${large.slice(1)}` });
  await merchants.until(({ accepted, refused }) => accepted === 2 && refused === 3);
  const retried = merchants.receipts.get('retried');
  assert.deepEqual([retried?.sends, retried?.repeats, retried?.duplicates, retried?.answers], [3, 1, 1, { 500: 3 }]);
  const again = merchants.receipts.get('again');
  assert.deepEqual([again?.afterAccepted, again?.duplicates, again?.bodyChanged], [1, 1, true]);
  assert.equal(merchants.stats().messages.duplicates, 2);
});

test('a silent merchant holds the request until the client closes, even when it is silent no more', async () => {
  const merchants = await start({ default: { silent: true } });
  const { hangUp, closed } = await postHeld(merchants, { key: 'k' });
  merchants.setScenario(parseScenario({}));
  await post(merchants, { key: 'other' });
  await merchants.until(({ accepted }) => accepted === 1);
  assert.equal(merchants.stats(0).inFlight, 1);
  hangUp();
  await closed;
  await merchants.until(({ abandoned }) => abandoned === 1);
  const { inFlight, accepted } = merchants.stats(0);
  assert.deepEqual({ inFlight, accepted }, { inFlight: 0, accepted: 1 });
  assert.deepEqual(merchants.receipts.get('k')?.answers, {});
});

test('an order whose client closes before the answer is received, but not accepted', async () => {
  const merchants = await start({ default: { latency: { distribution: 'fixed', value: '1h' } } });
  const { hangUp } = await postHeld(merchants, { key: 'k' });
  hangUp();
  await merchants.until(({ abandoned }) => abandoned === 1);
  const { sends, accepted, acceptedAt } = merchants.receipts.get('k') as Receipt;
  assert.deepEqual({ sends, accepted, acceptedAt }, { sends: 1, accepted: 0, acceptedAt: null });
});

test('a request cut before its last byte is no send', async () => {
  const merchants = await start();
  const sent = request(`${merchants.url}/m/orders`, {
    method: 'POST',
    headers: { ...headersOf({ key: 'k' }), 'content-length': '100' },
    agent: false,
  });
  const failed = once(sent, 'error');
  sent.flushHeaders();
  sent.write('{', () => sent.destroy(new Error('cut')));
  await failed;
  await post(merchants, { key: 'whole' });
  await merchants.until(({ accepted }) => accepted === 1);
  assert.equal(merchants.receipts.get('k'), undefined);
  assert.equal(merchants.stats().requests, 1);
});

test('a merchant over its rate answers 429 with Retry-After, and takes orders again when time has passed', async () => {
  const merchants = await start({ default: { rateLimited: { perSecond: 2, retryAfter: '3s' } } });
  const statuses = async (): Promise<number[]> => [
    (await post(merchants)).status,
    (await post(merchants)).status,
    (await post(merchants)).status,
  ];
  assert.deepEqual(await statuses(), [200, 200, 429]);
  assert.equal((await post(merchants)).headers['retry-after'], '3');
  assert.equal((await post(merchants, { merchant: 'm-2' })).status, 200, 'each merchant has its own rate');
  clock.ms = 1000;
  assert.deepEqual(await statuses(), [200, 200, 429]);
});

test('a resetting merchant resets the connection after it has read the order', async () => {
  const merchants = await start({ default: { resetting: {} } });
  await assert.rejects(post(merchants, { key: 'k' }), { code: 'ECONNRESET' });
  await merchants.until(({ reset }) => reset === 1);
  assert.deepEqual([merchants.receipts.get('k')?.sends, merchants.receipts.get('k')?.answers], [1, {}]);
  assert.equal(merchants.stats().inFlight, 0);
});

test('a planned outage begins and ends at its time after the scenario was set', async () => {
  const outage = { rules: [{ merchants: { prefix: 'm' }, failing: { status: 503 }, from: '10s', until: '20s' }] };
  const merchants = await start(outage);
  const statusAt = async (ms: number): Promise<number> => {
    clock.ms = ms;
    return (await post(merchants)).status;
  };
  assert.deepEqual([await statusAt(9999), await statusAt(10_000), await statusAt(20_000)], [200, 503, 200]);
  merchants.setScenario(parseScenario(outage));
  assert.deepEqual([await statusAt(29_999), await statusAt(30_000)], [200, 503]);
});

test('PUT replaces the scenario, and a bad one changes nothing and is told why', async () => {
  const merchants = await start();
  const put = (body: string): Promise<Reply> => call(`${merchants.url}/_orderlane/scenario`, 'PUT', {}, body);
  assert.equal((await post(merchants)).status, 200);
  const failing = { rules: [{ merchants: { ids: ['m-1'] }, failing: { status: 500 } }] };
  assert.equal((await put(JSON.stringify(failing))).status, 200);
  assert.equal((await post(merchants)).status, 500);
  const bad = await put('{"default":{"failing":{"status":"x"}}}');
  assert.equal(bad.status, 400);
  assert.deepEqual(JSON.parse(bad.body), { error: 'scenario: default.failing.status: expected number, got "x"' });
  assert.equal((await put('{')).status, 400);
  assert.equal((await post(merchants)).status, 500);
});

test('stats are served as JSON, with as many merchants as asked for', async () => {
  const merchants = await start();
  for (const merchant of ['a', 'b', 'b']) await post(merchants, { merchant });
  await merchants.until(({ accepted }) => accepted === 3);
  const get = async (query: string): Promise<MerchantsStats> =>
    JSON.parse((await call(`${merchants.url}/_orderlane/stats${query}`, 'GET', {})).body);
  assert.deepEqual(await get(''), JSON.parse(JSON.stringify(merchants.stats())));
  assert.deepEqual(
    (await get('?top=1')).top.map(({ merchant, requests }) => [merchant, requests]),
    [['b', 2]],
  );
  assert.equal((await call(`${merchants.url}/_orderlane/stats?top=x`, 'GET', {})).status, 400);
});

test('receipts are served as NDJSON, one line a message', async () => {
  const merchants = await start();
  for (let i = 0; i < 20_000; i++) merchants.receipts.sent(`k${i}`, 'm', '1', 0, 0);
  const { status, headers, body } = await call(`${merchants.url}/_orderlane/receipts`, 'GET', {});
  assert.deepEqual([status, headers['content-type']], [200, 'application/x-ndjson']);
  const lines = body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Receipt);
  assert.equal(lines.length, 20_000);
  assert.deepEqual(lines[19_999], merchants.receipts.get('k19999'));
});

test('a reader of receipts that goes away leaves the merchants at work', async () => {
  const merchants = await start();
  for (let i = 0; i < 50_000; i++) merchants.receipts.sent(`k${i}`, 'm', '1', 0, 0);
  const sent = request(`${merchants.url}/_orderlane/receipts`, { agent: false }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  await once(response, 'readable');
  response.destroy();
  assert.equal((await post(merchants)).status, 200);
});

test('DELETE forgets receipts and counts; a late answer to an order from before is not counted', async () => {
  const merchants = await start({ rules: [{ merchants: { ids: ['hung'] }, silent: true }] });
  await post(merchants, { key: 'k' });
  const { hangUp } = await postHeld(merchants, { key: 'held', merchant: 'hung' });
  assert.equal((await call(`${merchants.url}/_orderlane/receipts`, 'DELETE', {})).status, 200);
  assert.deepEqual([...merchants.receipts], []);
  const { requests, accepted, inFlight, merchants: called } = merchants.stats();
  assert.deepEqual({ requests, accepted, inFlight, called }, { requests: 0, accepted: 0, inFlight: 1, called: 0 });
  hangUp();
  await merchants.until((counts) => counts.inFlight === 0);
  assert.equal(merchants.stats().abandoned, 0);
});

test('an unknown control path is refused and told what there is', async () => {
  const merchants = await start();
  const { status, body } = await call(`${merchants.url}/_orderlane/nothing`, 'POST', {});
  assert.equal(status, 404);
  assert.match(body, /expected GET stats, .* got POST \/_orderlane\/nothing/);
});

test('merchants speak HTTPS when given a certificate, and reset there too', async () => {
  const merchants = await start(
    { rules: [{ merchants: { ids: ['r'] }, resetting: {} }] },
    { tls: { key: KEY, cert: CERT } },
  );
  assert.match(merchants.url, /^https:/);
  const agent = new TlsAgent({ ca: CERT });
  const postTls = async (merchant: string): Promise<number> => {
    const sent = tlsRequest(`${merchants.url}/${merchant}/orders`, { method: 'POST', agent }).end('{}');
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    return (await read(response)).status;
  };
  assert.equal(await postTls('m'), 200);
  await assert.rejects(postTls('r'), { code: 'ECONNRESET' });
  agent.destroy();
});

test('a port that is taken is refused as a wrong setting', async () => {
  const merchants = await start();
  const port = Number(new URL(merchants.url).port);
  await assert.rejects(startMerchants({ port }), { code: 'USAGE', message: /expected a free port .* EADDRINUSE/ });
});

test('stop destroys what is open, ends who waits, and may come twice', async () => {
  const merchants = await start({ default: { silent: true } });
  const { closed } = await postHeld(merchants);
  const waiting = assert.rejects(
    merchants.until(() => false),
    /stopped before/,
  );
  await Promise.all([merchants.stop(), merchants.stop()]);
  await Promise.all([closed, waiting]);
  await merchants.stop();
  await assert.rejects(
    merchants.until(() => false),
    /stopped before/,
  );
  await assert.rejects(post(merchants), { code: 'ECONNREFUSED' });
});

/** A self-signed certificate for 127.0.0.1, for this test alone. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgy/Bxp+s2zrwxnxfO
EQQGdcO02wWfjd2XvAuwN7aCQxuhRANCAATs52/pHatcq1LZpk5LGpIwCD5o7hlY
AnZDMM18OUVOfWlV9sOilpKSebLCsiFtQgfYxteqcLofY7i0HOczYJTB
-----END PRIVATE KEY-----`;
const CERT = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUdh/4XWaqL16WWqJASOdhtjSgVDYwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTAyMTIyN1oYDzIxMjYxMDI4
MDIxMjI3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATs52/pHatcq1LZpk5LGpIwCD5o7hlYAnZDMM18OUVOfWlV9sOilpKS
ebLCsiFtQgfYxteqcLofY7i0HOczYJTBo28wbTAdBgNVHQ4EFgQUy0EIYoOjVCvI
MnAu1CMCpWUSydYwHwYDVR0jBBgwFoAUy0EIYoOjVCvIMnAu1CMCpWUSydYwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwCgYIKoZI
zj0EAwIDSAAwRQIgARmgq1CViXGyKxcKouXxHQDmV/mC86UqXpYw14GAG+UCIQDg
LRfz44TBcilH8RUTrSK3Kn4OFQyeW2XfHBCxEUyzkQ==
-----END CERTIFICATE-----`;
