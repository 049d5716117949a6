import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DeliveryError } from '../../src/handler.ts';
import { AttemptClient } from '../../src/merchant/attempt-client.ts';
import { HttpClient } from '../../src/merchant/http-client.ts';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { closedPort, httpStub, merchantOf, orderOf, type Stub, tcpStub } from './stub.ts';

interface Attempt {
  readonly url?: string;
  readonly headers?: Record<string, string>;
  readonly timeLeftMs?: () => number;
  readonly signal?: AbortSignal;
  readonly maxResponseBytes?: number;
  readonly onSharedKey?: () => void;
}

function attemptOf(t: TestContext, attempt: Attempt): AttemptClient {
  const { maxResponseBytes = 100_000 } = attempt;
  const client = new HttpClient({
    connectTimeoutMs: 3000,
    idleSockets: 2,
    allowHosts: ['127.0.0.1'],
    maxResponseBytes,
  });
  t.after(() => client.close());
  return new AttemptClient(
    client,
    orderOf({ attempt: 2 }),
    merchantOf(attempt.url, attempt.headers),
    attempt.timeLeftMs ?? (() => 5000),
    () => attempt.signal ?? new AbortController().signal,
    attempt.onSharedKey,
  );
}

/** Answers each path as it says: `/200`, `/429`; `/reset` and `/silent` do what they say. */
function byPath(t: TestContext): Promise<Stub> {
  return httpStub(t, (response, { url }, request) => {
    const what = url.split('/').at(-1) ?? '';
    if (what === 'reset') request.socket.resetAndDestroy();
    else if (what === '429') response.writeHead(429, { 'retry-after': '9' }).end('{"secret":"body"}');
    else if (what !== 'silent') response.writeHead(Number(what)).end('{"secret":"body"}');
  });
}

async function thrownBy(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => assert.fail('it did not throw'),
    (thrown: unknown) => thrown,
  );
}

test('the empty path is the merchant’s URL itself, with or without a query or a last slash', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  for (const path of ['/v1/orders', '/v1/orders/', '/v1/orders?tenant=5', '/v1/orders/?tenant=5', '/', '/?a=b%20c']) {
    await attemptOf(t, { url: `${stub.origin}${path}` })
      .client()
      .post('', { json: { a: 1 } });
    assert.equal(stub.seen.at(-1)?.url, path);
    assert.equal(stub.seen.at(-1)?.body, '{"a":1}');
  }
});

test('a relative path is joined below the merchant’s URL', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  const http = attemptOf(t, { url: `${stub.origin}/v1/orders?tenant=5` }).client();
  await http.post('items/1');
  assert.equal(stub.seen.at(-1)?.url, '/v1/orders/items/1');
  await http.get('', { searchParams: { page: 2 } });
  assert.equal(stub.seen.at(-1)?.url, '/v1/orders?page=2');
  assert.match(String(await thrownBy(http.post('/health'))), /must not start with a slash/);
});

test('every call carries the key, the attempt and the merchant’s headers; a call’s own headers win', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  const attempt = attemptOf(t, { url: stub.origin, headers: { authorization: 'Bearer s3cret', 'x-tenant': 'a' } });
  await attempt.client().post('', { headers: { 'x-own': '1' } });
  const { headers } = stub.seen[0] ?? assert.fail();
  assert.equal(headers['idempotency-key'], 'o-1-abc');
  assert.equal(headers['orderlane-attempt'], '2');
  assert.equal(headers.authorization, 'Bearer s3cret');
  assert.equal(headers['x-tenant'], 'a');
  assert.equal(headers['x-own'], '1');
  await attempt.client('pay').post('');
  assert.equal(stub.seen.at(-1)?.headers['idempotency-key'], 'o-1-abc:pay');
  await attempt.client('pay').post('', { headers: { 'Idempotency-Key': 'mine', 'X-Tenant': 'b' } });
  assert.equal(stub.seen.at(-1)?.headers['idempotency-key'], 'mine');
  assert.equal(stub.seen.at(-1)?.headers['x-tenant'], 'b');
  assert.equal(attempt.client('pay'), attempt.client('pay'), 'made once');
});

test('an absolute URL at another origin gets none of the merchant’s headers', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  const other = await httpStub(t, (response) => response.end());
  const headers = { authorization: 'Bearer s3cret', 'x-api-key': 'k3y' };
  const http = attemptOf(t, { url: `${stub.origin}/v1`, headers }).client();
  await http.post(`${other.origin}/x`, { headers: { 'x-api-key': 'their own' } });
  assert.equal(other.seen[0]?.url, '/x');
  assert.equal(other.seen[0]?.headers.authorization, undefined);
  assert.equal(other.seen[0]?.headers['x-api-key'], 'their own');
  assert.equal(other.seen[0]?.headers['idempotency-key'], 'o-1-abc');
  await http.post(`${stub.origin}/elsewhere`);
  assert.equal(stub.seen[0]?.url, '/elsewhere');
  assert.equal(stub.seen[0]?.headers.authorization, 'Bearer s3cret');
});

test('a place that nobody allowed is refused before anything leaves', async (t) => {
  const attempt = attemptOf(t, { url: 'http://127.0.0.1/' });
  const outcome = attempt.outcomeOf(await thrownBy(attempt.client().post('http://10.0.0.1/')));
  assert.equal(outcome.kind, 'not-sent');
  assert.match((outcome as { reason: string }).reason, /plain HTTP/);
});

test('a merchant without a URL is called by absolute URLs', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  await attemptOf(t, {}).client().post(`${stub.origin}/x`);
  assert.equal(stub.seen[0]?.url, '/x');
});

test('every status but 2xx throws, redirects included', async (t) => {
  const stub = await httpStub(t, (response, { url }) => {
    response.writeHead(Number(url.slice(1)), { location: '/200' }).end();
  });
  const http = attemptOf(t, { url: stub.origin }).client();
  for (const status of [300, 301, 302, 303, 307, 308, 400, 404, 429, 500, 503]) {
    const thrown = (await thrownBy(http.post(String(status)))) as { response: { statusCode: number } };
    assert.equal(thrown.response.statusCode, status);
    assert.equal((await http.post(String(status), { throwHttpErrors: false })).statusCode, status);
  }
  assert.ok(stub.seen.every(({ url }) => url !== '/200'));
});

test('a call may take what is left of the attempt, or less when it says so', async (t) => {
  const stub = await byPath(t);
  let left = 60;
  const attempt = attemptOf(t, { url: stub.origin, timeLeftMs: () => left });
  assert.deepEqual(attempt.outcomeOf(await thrownBy(attempt.client().post('silent', { timeout: { request: 9000 } }))), {
    kind: 'ambiguous',
    reason: 'no complete answer within 60 ms',
  });
  left = 5000;
  assert.deepEqual(attempt.outcomeOf(await thrownBy(attempt.client().post('silent', { timeout: { request: 50 } }))), {
    kind: 'ambiguous',
    reason: 'no complete answer within 50 ms',
  });
});

test('a call after the attempt’s time is not made', async (t) => {
  const stub = await byPath(t);
  const attempt = attemptOf(t, { url: stub.origin, timeLeftMs: () => -5 });
  const outcome = attempt.outcomeOf(await thrownBy(attempt.client().post('200')));
  assert.deepEqual(outcome, { kind: 'not-sent', reason: 'no connection within 0 ms' });
  assert.equal(stub.connections(), 0);
});

test('the end of the attempt aborts its calls, also those with a signal of their own', async (t) => {
  const end = new AbortController();
  const stub = await httpStub(t, () => end.abort(new Error('over')));
  const attempt = attemptOf(t, { url: stub.origin, signal: end.signal });
  const thrown = await thrownBy(attempt.client().post('', { signal: new AbortController().signal }));
  assert.deepEqual(attempt.outcomeOf(thrown), {
    kind: 'ambiguous',
    reason: 'no complete answer before the attempt was aborted',
  });
  const late = attempt.outcomeOf(
    await thrownBy(attemptOf(t, { url: stub.origin, signal: end.signal }).client().post('')),
  );
  assert.equal(late.kind, 'ambiguous', 'the first call of this attempt may have arrived');
});

test('a call with an attempt that is over is not-sent', async (t) => {
  const attempt = attemptOf(t, { url: 'http://127.0.0.1:1/', signal: AbortSignal.abort() });
  assert.deepEqual(attempt.outcomeOf(await thrownBy(attempt.client().post(''))), {
    kind: 'not-sent',
    reason: 'no connection before the attempt was aborted',
  });
});

function endless(response: ServerResponse): void {
  const chunk = Buffer.alloc(65_536, 'x');
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
}

test('an answer is bounded: endless, packed, or for a stream', async (t) => {
  const bomb = gzipSync(Buffer.alloc(20_000_000));
  const sent: number[] = [];
  const stub = await httpStub(t, (response, { url }, request) => {
    request.socket.on('close', () => sent.push(request.socket.bytesWritten));
    if (url === '/bomb') response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    else {
      response.writeHead(url === '/500' ? 500 : url === '/307' ? 307 : 200, { location: '/' });
      endless(response);
    }
  });
  for (const path of ['endless', 'bomb', '500']) {
    const attempt = attemptOf(t, { url: stub.origin });
    const thrown = await thrownBy(attempt.client().post(path));
    const status = path === '500' ? 500 : 200;
    const cause = (thrown as Error).cause;
    assert.match(String(cause), /the answer is larger than 100000 bytes/, path);
    const reason = `HTTP ${status}, then the answer is larger than 100000 bytes`;
    if (path !== 'bomb') assert.deepEqual(attempt.outcomeOf(thrown), { kind: 'ambiguous', reason, status });
    else assert.equal(attempt.outcomeOf(thrown).kind, 'ambiguous');
  }
  const http = attemptOf(t, { url: stub.origin }).client();
  const redirected = (await thrownBy(http.post('307'))) as { response: { statusCode: number } };
  assert.equal(redirected.response.statusCode, 307);
  await assert.rejects(http.stream.get('endless').toArray(), { code: 'ERR_ABORTED' });
  await assert.rejects(http.stream.get('500').toArray(), { code: 'ERR_NON_2XX_3XX_RESPONSE' });
  await assert.rejects(http.stream.get('307').toArray(), { code: 'ERR_NON_2XX_3XX_RESPONSE' });
  while (sent.length < 6) await new Promise(setImmediate);
  assert.ok(
    sent.every((bytes) => bytes < 20_000_000),
    String(sent),
  );
});

test('small packed answers are unpacked', async (t) => {
  const stub = await httpStub(t, (response) =>
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{"a":1}')),
  );
  assert.deepEqual(await attemptOf(t, { url: stub.origin }).client().get('').json(), { a: 1 });
});

test('what is thrown by one call is judged by its status or by whether bytes left', async (t) => {
  const stub = await byPath(t);
  const refused = `http://127.0.0.1:${await closedPort()}/`;
  const cases: [string, ThreadOutcome][] = [
    ['422', { kind: 'rejected', reason: 'HTTP 422', status: 422 }],
    ['307', { kind: 'rejected', reason: 'HTTP 307', status: 307 }],
    ['429', { kind: 'throttled', reason: 'HTTP 429', status: 429, retryAfterMs: 9000 }],
    ['500', { kind: 'ambiguous', reason: 'HTTP 500', status: 500 }],
    [refused, { kind: 'not-sent', reason: `connect ECONNREFUSED ${new URL(refused).host}` }],
    ['/slash', { kind: 'failed', reason: '`url` must not start with a slash' }],
  ];
  for (const [path, expected] of cases) {
    const attempt = attemptOf(t, { url: stub.origin });
    assert.deepEqual(attempt.outcomeOf(await thrownBy(attempt.client().post(path))), expected);
  }
  const attempt = attemptOf(t, { url: stub.origin });
  assert.equal(attempt.outcomeOf(await thrownBy(attempt.client().post('reset'))).kind, 'ambiguous');
});

test('an answer that the handler cannot read is ambiguous, and not quoted', async (t) => {
  const stub = await httpStub(t, (response) => response.end('<html>s3cret'));
  const attempt = attemptOf(t, { url: stub.origin });
  assert.deepEqual(attempt.outcomeOf(await thrownBy(attempt.client().post('').json())), {
    kind: 'ambiguous',
    reason: 'HTTP 200, but the answer could not be used (ERR_BODY_PARSE_FAILURE)',
    status: 200,
  });
});

test('a DeliveryError names its outcome, anything else is failed', (t) => {
  const attempt = attemptOf(t, {});
  for (const kind of ['rejected', 'not-sent'] as const) {
    assert.deepEqual(attempt.outcomeOf(new DeliveryError(kind, 'why')), { kind, reason: 'why' });
  }
  for (const kind of ['ambiguous', 'throttled'] as const) {
    assert.deepEqual(attempt.outcomeOf(new DeliveryError(kind, 'why', { retryAfterMs: 5 })), {
      kind,
      reason: 'why',
      retryAfterMs: 5,
    });
  }
  const foreign = Object.assign(new Error('why'), { name: 'DeliveryError', outcome: 'rejected' });
  assert.deepEqual(attempt.outcomeOf(foreign), { kind: 'rejected', reason: 'why' }, 'from another copy of the package');
  const never = new DeliveryError('throttled', 'why', { retryAfterMs: 1.7e12 });
  assert.deepEqual(
    attempt.outcomeOf(never),
    { kind: 'throttled', reason: 'why', retryAfterMs: 86_400_000 },
    'a day at most',
  );
  const unheardOf = Object.assign(new Error('why'), { name: 'DeliveryError', outcome: 'later', retryAfterMs: -1 });
  assert.deepEqual(attempt.outcomeOf(unheardOf), {
    kind: 'failed',
    reason: 'DeliveryError with the outcome later: why',
  });
  assert.deepEqual(attempt.outcomeOf(new TypeError('x is not a function')), {
    kind: 'failed',
    reason: 'x is not a function',
  });
  assert.deepEqual(attempt.outcomeOf('a string'), { kind: 'failed', reason: 'a string' });
  assert.deepEqual(attempt.outcomeOf(undefined), { kind: 'failed', reason: 'undefined' });
});

test('what is told of an error has no credentials, no query of a URL and nothing of what JSON.parse was given', (t) => {
  const attempt = attemptOf(t, {});
  let unreadable: unknown;
  try {
    JSON.parse('Jane Doe, +44 20 7946');
  } catch (error) {
    unreadable = error;
  }
  const reasons = [
    new TypeError('https://shop:hunter2@pos.example/orders?token=t0ken is down'),
    new DeliveryError('rejected', 'no such place: https://pos.example/?key=t0ken'),
    unreadable,
  ].map((thrown) => (attempt.outcomeOf(thrown) as { readonly reason: string }).reason);
  assert.deepEqual(reasons, [
    'https://[redacted]@pos.example/orders?[redacted] is down',
    'no such place: https://pos.example/?[redacted]',
    "Unexpected token 'J', [redacted] is not valid JSON",
  ]);
});

test('once another call may have been processed, nothing but a rejection is better than ambiguous', async (t) => {
  const stub = await byPath(t);
  const refused = `http://127.0.0.1:${await closedPort()}/`;
  for (const first of ['200', '500', 'reset']) {
    const attempt = attemptOf(t, { url: stub.origin });
    await attempt
      .client()
      .post(first)
      .catch(() => {});
    const after = (thrown: unknown) => attempt.outcomeOf(thrown);
    assert.equal(after(await thrownBy(attempt.client('b').post(refused))).kind, 'ambiguous', first);
    assert.equal(after(new Error('a bug')).kind, 'ambiguous');
    assert.equal(after(new DeliveryError('not-sent', 'nothing')).kind, 'ambiguous');
    assert.equal(after(await thrownBy(attempt.client().post('422'))).kind, 'rejected');
    const throttled = after(await thrownBy(attempt.client().post('429')));
    assert.deepEqual(throttled, {
      kind: 'ambiguous',
      reason: 'HTTP 429, after another call of the attempt that may have arrived',
      status: 429,
      retryAfterMs: 9000,
    });
  }
});

test('calls that were refused or never left do not count', async (t) => {
  const stub = await byPath(t);
  const refused = `http://127.0.0.1:${await closedPort()}/`;
  const attempt = attemptOf(t, { url: stub.origin });
  for (const path of ['422', '429', '503', '307', refused, refused]) await thrownBy(attempt.client().post(path));
  assert.equal(attempt.outcomeOf(new Error('a bug')).kind, 'failed');
  assert.equal(attempt.outcomeOf(await thrownBy(attempt.client().post(refused))).kind, 'not-sent');
  assert.equal(attempt.outcomeOf(await thrownBy(attempt.client().post('429'))).kind, 'throttled');
});

test('a call that is still under way may arrive', async (t) => {
  const arrived = Promise.withResolvers<undefined>();
  const stub = await httpStub(t, () => arrived.resolve(undefined));
  const end = new AbortController();
  const attempt = attemptOf(t, { url: stub.origin, signal: end.signal });
  const pending = thrownBy(attempt.client().post(''));
  await arrived.promise;
  assert.equal(attempt.outcomeOf(new Error('a bug')).kind, 'ambiguous');
  end.abort();
  await pending;
  assert.equal(attempt.outcomeOf(new Error('a bug')).kind, 'ambiguous');
});

test('a call that may yet connect may arrive', async (t) => {
  const opened = Promise.withResolvers<undefined>();
  const port = await tcpStub(t, () => opened.resolve(undefined));
  const end = new AbortController();
  const attempt = attemptOf(t, { url: `https://127.0.0.1:${port}/`, signal: end.signal });
  const pending = thrownBy(attempt.client().post(''));
  await opened.promise;
  assert.equal(attempt.outcomeOf(new Error('a bug')).kind, 'ambiguous');
  end.abort();
  assert.equal(attempt.outcomeOf(await pending).kind, 'not-sent');
  assert.equal(attempt.outcomeOf(new Error('a bug')).kind, 'failed');
});

test('calls that nobody waited for are waited for, and what they come to is not lost', async (t) => {
  const stub = await byPath(t);
  const attempt = attemptOf(t, { url: stub.origin });
  await attempt.finished();
  void attempt.client().post('200');
  await attempt.finished();
  assert.equal(stub.seen.length, 1);
  void attempt.client().post('200');
  void attempt.client().post('500');
  const thrown = await thrownBy(attempt.finished());
  assert.equal(attempt.outcomeOf(thrown).kind, 'ambiguous');
  assert.equal(stub.seen.length, 3);
});

test('a stream whose answer is not wanted is judged by its status', async (t) => {
  const stub = await httpStub(t, (response) => endless(response.writeHead(429, { 'retry-after': '1' })));
  const attempt = attemptOf(t, { url: stub.origin });
  const outcome = attempt.outcomeOf(await thrownBy(attempt.client().stream.get('').toArray()));
  assert.deepEqual(outcome, { kind: 'throttled', reason: 'HTTP 429', status: 429, retryAfterMs: 1000 });
});

test('tries that got itself repeats count each', async (t) => {
  let requests = 0;
  const stub = await httpStub(t, (response, _seen, request) => {
    if (requests++ === 0) request.socket.resetAndDestroy();
    else response.writeHead(429).end();
  });
  const attempt = attemptOf(t, { url: stub.origin });
  const retry = {
    limit: 1,
    methods: ['POST' as const],
    calculateDelay: ({ attemptCount }: { attemptCount: number }) => 2 - attemptCount,
  };
  assert.equal(attempt.outcomeOf(await thrownBy(attempt.client().post('', { retry }))).kind, 'ambiguous');
  assert.equal(requests, 2);
});

test('two different writes with one idempotency key are told of; reads, the same write again and ctx.call are not', async (t) => {
  const { origin } = await byPath(t);
  let told = 0;
  const attempt = attemptOf(t, { url: origin, onSharedKey: () => told++ });
  const http = attempt.client();
  await http.post('200', { body: '{}' });
  await http.post('200', { body: '{}' });
  await http.get('other/200');
  await attempt.client('pay').post('pay/200', { body: '{}' });
  assert.equal(told, 0);
  await http.post('pay/200', { body: '{}' });
  assert.equal(told, 1);
});
