import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { forward } from '../../src/merchant/forward.ts';
import { HttpClient, type HttpClientOptions } from '../../src/merchant/http-client.ts';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { dnsStub } from './dns-stub.ts';
import { closedPort, httpStub, merchantOf, orderOf, tcpStub, trustLoopback } from './stub.ts';

trustLoopback();

function clientOf(t: TestContext, options: Partial<HttpClientOptions> = {}): HttpClient {
  const client = new HttpClient({
    connectTimeoutMs: 3000,
    idleSockets: 2,
    allowHosts: ['127.0.0.1', 'localhost'],
    ...options,
  });
  t.after(() => client.close());
  return client;
}

interface Sent {
  readonly outcome: ThreadOutcome;
  readonly sendings: number;
}

async function send(client: HttpClient, url: string | undefined, timeoutMs = 5000, headers = {}): Promise<Sent> {
  let sendings = 0;
  const outcome = await forward(client, orderOf(), merchantOf(url, headers), timeoutMs, () => {
    sendings += 1;
  });
  return { outcome, sendings };
}

function reasonOf(outcome: ThreadOutcome): string {
  return outcome.kind === 'delivered' ? '' : outcome.reason;
}

test('an order is posted byte for byte, with its identity, its attempt and the merchant’s headers', async (t) => {
  const stub = await httpStub(t, (response) => response.end('{"ok":true}'));
  const order = orderOf({ attempt: 3, body: '{ "id" : "o-1",\n"name":"crème 😀" }' });
  const merchant = merchantOf(`${stub.origin}/v1/m-1/orders?x=1`, { authorization: 'Bearer s3cret', 'x-tenant': 'a' });
  const outcome = await forward(clientOf(t), order, merchant, 5000, () => {});
  assert.deepEqual(outcome, { kind: 'delivered', status: 200 });
  const [seen] = stub.seen;
  assert.equal(seen?.method, 'POST');
  assert.equal(seen?.url, '/v1/m-1/orders?x=1');
  assert.equal(seen?.body, order.body);
  assert.equal(seen?.headers['content-type'], 'application/json');
  assert.equal(seen?.headers['idempotency-key'], 'o-1-abc');
  assert.equal(seen?.headers['orderlane-attempt'], '3');
  assert.equal(seen?.headers.authorization, 'Bearer s3cret');
  assert.equal(seen?.headers['x-tenant'], 'a');
  assert.match(seen?.headers['user-agent'] ?? '', /^orderlane\/\d/);
  assert.equal(seen?.headers['accept-encoding'], undefined);
});

test('an order is delivered over HTTPS', async (t) => {
  const stub = await httpStub(t, (response) => response.writeHead(201).end(), true);
  const { outcome, sendings } = await send(clientOf(t), `${stub.origin}/orders`);
  assert.deepEqual(outcome, { kind: 'delivered', status: 201 });
  assert.equal(sendings, 1);
});

test('calls that follow each other share a connection, and each is marked as being sent', async (t) => {
  const stub = await httpStub(t, (response) => response.end('ok'));
  const client = clientOf(t);
  for (let i = 0; i < 3; i++) assert.equal((await send(client, stub.origin)).sendings, 1);
  assert.equal(stub.connections(), 1);
});

test('an order is marked as being sent when TLS is ready, and not before', async (t) => {
  const stub = await httpStub(t, (response) => response.end('ok'), true);
  const opened = Promise.withResolvers<undefined>();
  const release = Promise.withResolvers<undefined>();
  const port = await tcpStub(t, (socket) => {
    opened.resolve(undefined);
    void release.promise.then(() => {
      const onward = net.connect(stub.port, '127.0.0.1');
      onward.on('error', () => socket.destroy());
      socket.pipe(onward).pipe(socket);
    });
  });
  const events: string[] = [];
  const sent = forward(clientOf(t), orderOf(), merchantOf(`https://localhost:${port}/`), 5000, () => {
    events.push(`sending, ${stub.seen.length} seen`);
  });
  await opened.promise;
  events.push('connected');
  release.resolve(undefined);
  assert.equal((await sent).kind, 'delivered');
  assert.deepEqual(events, ['connected', 'sending, 0 seen']);
});

test('a refused connection is not-sent', async (t) => {
  const port = await closedPort();
  const { outcome, sendings } = await send(clientOf(t), `http://127.0.0.1:${port}/`);
  assert.deepEqual(outcome, { kind: 'not-sent', reason: `connect ECONNREFUSED 127.0.0.1:${port}` });
  assert.equal(sendings, 0);
});

test('a name whose addresses all refuse is not-sent, with a reason', async (t) => {
  const { outcome } = await send(clientOf(t), `http://localhost:${await closedPort()}/`);
  assert.equal(outcome.kind, 'not-sent');
  assert.match(reasonOf(outcome), /ECONNREFUSED/);
});

test('a TLS handshake that never ends is not-sent after the connect time-out', async (t) => {
  const port = await tcpStub(t, () => {});
  const { outcome, sendings } = await send(clientOf(t, { connectTimeoutMs: 60 }), `https://localhost:${port}/`);
  assert.deepEqual(outcome, { kind: 'not-sent', reason: `no connection to localhost:${port} within 60 ms` });
  assert.equal(sendings, 0);
});

test('an attempt that runs out of time before TLS is ready is not-sent', async (t) => {
  const port = await tcpStub(t, () => {});
  const { outcome, sendings } = await send(clientOf(t), `https://localhost:${port}/`, 60);
  assert.deepEqual(outcome, { kind: 'not-sent', reason: 'no connection within 60 ms' });
  assert.equal(sendings, 0);
});

test('a server that does not speak TLS, or has another name’s certificate, is not-sent', async (t) => {
  const plain = await httpStub(t, (response) => response.end());
  const wrong = await httpStub(t, (response) => response.end(), true);
  const client = clientOf(t, { allowHosts: ['*.localhost', 'localhost'] });
  for (const url of [`https://localhost:${plain.port}/`, `https://other.localhost:${wrong.port}/`]) {
    const { outcome, sendings } = await send(client, url);
    assert.equal(outcome.kind, 'not-sent', url);
    assert.equal(sendings, 0, url);
  }
  assert.equal(wrong.seen.length + plain.seen.length, 0);
});

test('a connection that is reset after the body is ambiguous', async (t) => {
  const stub = await httpStub(t, (_response, _seen, request) => request.socket.resetAndDestroy());
  const { outcome, sendings } = await send(clientOf(t), stub.origin);
  assert.equal(outcome.kind, 'ambiguous');
  assert.equal(sendings, 1);
  assert.equal(stub.seen.length, 1);
});

test('a kept connection that the server has given up proves nothing: ambiguous', async (t) => {
  let answered = 0;
  const stub = await httpStub(t, (response, _seen, request) => {
    if (answered++ === 0) response.end('ok');
    else request.socket.resetAndDestroy();
  });
  const client = clientOf(t);
  assert.equal((await send(client, stub.origin)).outcome.kind, 'delivered');
  const { outcome, sendings } = await send(client, stub.origin);
  assert.equal(outcome.kind, 'ambiguous');
  assert.equal(sendings, 1);
  assert.equal(stub.connections(), 1);
});

test('a 2xx whose body is cut off by the server is ambiguous', async (t) => {
  const stub = await httpStub(t, (response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('{"ok":', () => response.destroy());
  });
  const { outcome } = await send(clientOf(t), stub.origin);
  assert.equal(outcome.kind, 'ambiguous');
  assert.match(reasonOf(outcome), /^HTTP 200, then /);
  assert.equal((outcome as { status?: number }).status, 200);
});

test('a silent merchant is ambiguous when the attempt’s time is over', async (t) => {
  const stub = await httpStub(t, () => {});
  const { outcome, sendings } = await send(clientOf(t), stub.origin, 80);
  assert.deepEqual(outcome, { kind: 'ambiguous', reason: 'no complete answer within 80 ms' });
  assert.equal(sendings, 1);
});

test('a 2xx whose body trickles is bounded by the attempt’s time, ambiguous, and no answer', async (t) => {
  const stub = await httpStub(t, (response) => {
    const timer = setInterval(() => response.write('.'), 5);
    response.on('close', () => clearInterval(timer));
  });
  const { outcome } = await send(clientOf(t), stub.origin, 100);
  assert.deepEqual(outcome, {
    kind: 'ambiguous',
    reason: 'HTTP 200, then no complete answer within 100 ms',
  });
});

test('an endless body is cut off, and the status decides', async (t) => {
  for (const [status, expected] of [
    [200, { kind: 'delivered', status: 200 }],
    [500, { kind: 'ambiguous', reason: 'HTTP 500', status: 500 }],
    [422, { kind: 'rejected', reason: 'HTTP 422', status: 422 }],
  ] as const) {
    const gone = Promise.withResolvers<undefined>();
    const stub = await httpStub(t, (response) => {
      response.writeHead(status);
      const chunk = Buffer.alloc(65_536, 'x');
      const more = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on('drain', more);
      response.on('close', () => gone.resolve(undefined));
      more();
    });
    const { outcome } = await send(clientOf(t, { maxResponseBytes: 100_000 }), stub.origin);
    assert.deepEqual(outcome, expected);
    await gone.promise;
  }
});

test('a large body that comes at once is cut off too', async (t) => {
  const body = Buffer.alloc(3_000_000, 'x');
  for (const headers of [{}, { 'content-length': body.length }]) {
    const stub = await httpStub(t, (response) => response.writeHead(200, headers).end(body));
    for (const maxResponseBytes of [10, 100_000, 2_999_999]) {
      const { outcome } = await send(clientOf(t, { maxResponseBytes }), stub.origin);
      assert.deepEqual(outcome, { kind: 'delivered', status: 200 });
    }
  }
});

test('a compressed answer is not unpacked', async (t) => {
  const stub = await httpStub(t, (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('no gzip'));
  assert.deepEqual((await send(clientOf(t), stub.origin)).outcome, { kind: 'delivered', status: 200 });
});

test('a redirect is rejected and not followed', async (t) => {
  const target = await httpStub(t, (response) => response.end());
  const stub = await httpStub(t, (response) => response.writeHead(307, { location: target.origin }).end());
  const { outcome } = await send(clientOf(t), stub.origin);
  assert.deepEqual(outcome, { kind: 'rejected', reason: 'HTTP 307', status: 307 });
  assert.equal(target.seen.length, 0);
});

test('what the merchant says decides: 422 is final, 500 is ambiguous, 429 waits as long as it is told', async (t) => {
  const at = new Date(Date.now() + 3_600_000).toUTCString();
  const answers: [number, Record<string, string>, ThreadOutcome][] = [
    [422, {}, { kind: 'rejected', reason: 'HTTP 422', status: 422 }],
    [500, {}, { kind: 'ambiguous', reason: 'HTTP 500', status: 500 }],
    [429, { 'retry-after': '7' }, { kind: 'throttled', reason: 'HTTP 429', status: 429, retryAfterMs: 7000 }],
    [
      503,
      { 'retry-after': at, date: new Date(Date.parse(at) - 60_000).toUTCString() },
      { kind: 'throttled', reason: 'HTTP 503', status: 503, retryAfterMs: 60_000 },
    ],
  ];
  for (const [status, headers, expected] of answers) {
    const stub = await httpStub(t, (response) => response.writeHead(status, headers).end('{"secret":"body"}'));
    assert.deepEqual((await send(clientOf(t), stub.origin)).outcome, expected);
  }
});

test('a merchant without a URL, a bad URL and a bad header are failed, and nothing is sent', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  const client = clientOf(t);
  for (const [url, headers] of [
    [undefined, {}],
    ['not a url', {}],
    [stub.origin, { 'x-bad': 'a\nb' }],
  ] as const) {
    const { outcome, sendings } = await send(client, url, 5000, headers);
    assert.equal(outcome.kind, 'failed', String(url));
    assert.notEqual(reasonOf(outcome), '');
    assert.equal(sendings, 0);
  }
  assert.equal(stub.seen.length, 0);
});

test('a place that nobody allowed is refused before anything leaves', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  const names = await dnsStub(t, (_name, type) => ({ addresses: type === 'A' ? ['127.0.0.1', '10.1.2.3'] : ['::1'] }));
  const client = clientOf(t, { allowHosts: [], servers: [names.server] });
  for (const [url, words] of [
    [stub.origin, /plain HTTP.*https.*--allow-host/],
    [`https://127.0.0.1:${stub.port}/`, /127\.0\.0\.1 is not a public address/],
    [`https://[::1]:${stub.port}/`, /::1 is not a public address/],
    [`https://localhost:${stub.port}/`, /localhost is not a public address/],
    [`https://pos.example:${stub.port}/`, /pos\.example resolves to 127\.0\.0\.1, which is not a public address/],
  ] as const) {
    const { outcome, sendings } = await send(client, url);
    assert.equal(outcome.kind, 'not-sent', url);
    assert.match(reasonOf(outcome), words);
    assert.equal(sendings, 0);
  }
  assert.equal(stub.connections(), 0);
});

test('an allowed name may be at a private address', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  const names = await dnsStub(t, (_name, type) => ({ addresses: type === 'A' ? ['127.0.0.1'] : [] }));
  const client = clientOf(t, { allowHosts: ['*.internal'], servers: [names.server] });
  const { outcome } = await send(client, `http://pos.internal:${stub.port}/`);
  assert.deepEqual(outcome, { kind: 'delivered', status: 200 });
});

test('a silent name server is not-sent after the connect time-out', async (t) => {
  const names = await dnsStub(t, () => 'silence');
  const client = clientOf(t, { connectTimeoutMs: 60, servers: [names.server] });
  const { outcome, sendings } = await send(client, 'https://pos.example/orders');
  assert.deepEqual(outcome, { kind: 'not-sent', reason: 'no connection to pos.example:443 within 60 ms' });
  assert.equal(sendings, 0);
});

test('a closed client ends its calls', async (t) => {
  const client = clientOf(t);
  const stub = await httpStub(t, () => client.close());
  assert.equal((await send(client, stub.origin)).outcome.kind, 'ambiguous');
});

test('a complete answer counts, whatever comes after it', async (t) => {
  const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok, and something that is not HTTP';
  const port = await tcpStub(t, (socket) => void once(socket, 'data').then(() => socket.write(answer)));
  const { outcome } = await send(clientOf(t), `http://127.0.0.1:${port}/`);
  assert.deepEqual(outcome, { kind: 'delivered', status: 200 });
});

test('an answer that is not HTTP is ambiguous', async (t) => {
  const port = await tcpStub(t, (socket) => void once(socket, 'data').then(() => socket.end('SSH-2.0-hello\r\n')));
  const { outcome } = await send(clientOf(t), `http://127.0.0.1:${port}/`);
  assert.equal(outcome.kind, 'ambiguous');
});

test('an answer that wants another protocol is ambiguous, and its connection is closed', async (t) => {
  const answer = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n';
  const closed = Promise.withResolvers<undefined>();
  const port = await tcpStub(t, (socket) => {
    socket.on('close', () => closed.resolve(undefined));
    void once(socket, 'data').then(() => socket.write(answer));
  });
  const { outcome, sendings } = await send(clientOf(t), `http://127.0.0.1:${port}/`);
  assert.deepEqual(outcome, { kind: 'ambiguous', reason: 'HTTP 101: the merchant wants another protocol' });
  assert.equal(sendings, 1);
  await closed.promise;
});

test('what a merchant answers is kept only when it is wanted, whatever the status', async (t) => {
  const stub = await httpStub(t, (response, { url }) => response.writeHead(Number(url.slice(1))).end('{"id": 17}'));
  const wanted = clientOf(t, { answers: true });
  const answer = '"answer":{"id": 17}';
  assert.deepEqual((await send(wanted, `${stub.origin}/200`)).outcome, { kind: 'delivered', status: 200, answer });
  const rejected = (await send(wanted, `${stub.origin}/422`)).outcome;
  assert.deepEqual(rejected, { kind: 'rejected', reason: 'HTTP 422', status: 422, answer });
  assert.deepEqual((await send(clientOf(t), `${stub.origin}/200`)).outcome, { kind: 'delivered', status: 200 });
});

test('of a long answer no more is kept than is told', async (t) => {
  const stub = await httpStub(t, (response) => response.end('é'.repeat(300_000)));
  const { outcome } = await send(clientOf(t, { answers: true }), stub.origin);
  const answer = `"answer":${JSON.stringify('é'.repeat(2048))},"answerCut":true`;
  assert.deepEqual(outcome, { kind: 'delivered', status: 200, answer });
});
