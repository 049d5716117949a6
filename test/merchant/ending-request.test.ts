import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { endingRequest } from '../../src/merchant/ending-request.ts';
import { forward } from '../../src/merchant/forward.ts';
import { HttpClient } from '../../src/merchant/http-client.ts';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { LOOPBACK_CERT, LOOPBACK_KEY } from './loopback-cert.ts';
import { httpStub, merchantOf, orderOf, tcpStub, trustLoopback } from './stub.ts';

trustLoopback();

const SERVER = `
  const { parentPort, workerData: { counts, tls } } = require('node:worker_threads');
  const { createServer } = require(tls === undefined ? 'node:http' : 'node:https');
  const [CONNECTIONS, ANSWERS] = [0, 1];
  const server = createServer(tls ?? {}, (request, response) => {
    request.resume().on('end', () => response.end('{"ok":true}', () => {
      Atomics.add(counts, ANSWERS, 1);
      Atomics.notify(counts, ANSWERS);
    }));
  });
  server.on('connection', () => Atomics.add(counts, CONNECTIONS, 1));
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

/** A merchant on a thread of its own, which answers while this one is busy. */
async function merchantNearby(t: TestContext, scheme = 'http'): Promise<{ url: string; counts: Int32Array }> {
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const tls = scheme === 'https' ? { cert: LOOPBACK_CERT, key: LOOPBACK_KEY } : undefined;
  const worker = new Worker(SERVER, { eval: true, workerData: { counts, tls } });
  t.after(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [number];
  return { url: `${scheme}://127.0.0.1:${port}/orders`, counts };
}

/** This thread stands still until that many answers were written; who gets one may know of it before they are counted. */
function standUntilAnswered(counts: Int32Array, answers: number): void {
  for (let seen = Atomics.load(counts, 1); seen < answers; seen = Atomics.load(counts, 1)) {
    assert.notEqual(Atomics.wait(counts, 1, seen, 5000), 'timed-out');
  }
}

function clientOf(t: TestContext): HttpClient {
  const client = new HttpClient({ connectTimeoutMs: 3000, idleSockets: 2, allowHosts: ['127.0.0.1'] });
  t.after(() => client.close());
  return client;
}

const order = { small: '{"id":"o-1"}', large: JSON.stringify({ id: 'o-1', note: 'ü'.repeat(100_000) }) };
const OK: ThreadOutcome = { kind: 'delivered', status: 200 };
type Send = (client: HttpClient, url: string) => Promise<unknown>;
const post =
  (body: string): Send =>
  async (client, url) =>
    assert.deepEqual(await forward(client, orderOf({ body }), merchantOf(url), 5000, () => {}), OK);
const get: Send = (client, url) => client.handlers.get(url);

/** What is written at once; what needs several turns cannot be answered before it is written. */
const atOnce: readonly (readonly [what: string, scheme: string, send: Send])[] = [
  ['an order', 'http', post(order.small)],
  ['an order over TLS', 'https', post(order.small)],
  ['a question of a handler', 'http', get],
  ['a question of a handler over TLS', 'https', get],
];

for (const [what, scheme, send] of atOnce) {
  test(`a merchant that answers before the thread's next turn keeps its connection: ${what}`, async (t) => {
    const { url, counts } = await merchantNearby(t, scheme);
    const client = clientOf(t);
    await send(client, url);
    await new Promise<unknown>((resolve) => {
      setImmediate(() => resolve(send(client, url)));
      // By now it is written: this thread stands still until the answer is there.
      setImmediate(() => standUntilAnswered(counts, 2));
    });
    await new Promise(setImmediate); // the turn in which the thread hears that it was written
    await send(client, url);
    standUntilAnswered(counts, 3);
    assert.deepEqual([...counts], [1, 3], 'connections, answers');
  });
}

for (const scheme of ['http', 'https']) {
  test(`a body of several writes keeps its connection: ${scheme}`, async (t) => {
    const { url, counts } = await merchantNearby(t, scheme);
    const client = clientOf(t);
    for (let n = 0; n < 3; n++) await post(order.large)(client, url);
    standUntilAnswered(counts, 3);
    assert.deepEqual([...counts], [1, 3], 'connections, answers');
  });
}

const TOO_LARGE = 30_000_000; // more than sockets take in

test('a connection whose merchant has answered and does not read on is given up', async (t) => {
  const port = await tcpStub(t, (socket) => {
    socket
      .on('error', () => {})
      .once('data', () => {
        socket.pause();
        socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
      });
  });
  const options = { method: 'POST', headers: { 'content-length': TOO_LARGE } };
  const request = endingRequest(new URL(`http://127.0.0.1:${port}`), options);
  request.write(Buffer.alloc(TOO_LARGE));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  await once(response.resume(), 'end');
  const closed = once(request.socket as Socket, 'close');
  request.destroy();
  await closed;
  assert.equal(request.writableFinished, false);
});

test('a call whose last bytes never leave does not keep its connection once it is answered', async (t) => {
  // As when the merchant has stopped reading: what is written to the socket stays there.
  const onCreated = (message: unknown): void => {
    (message as { request: ClientRequest }).request.once('socket', (socket) => socket.cork());
  };
  subscribe('http.client.request.created', onCreated);
  t.after(() => unsubscribe('http.client.request.created', onCreated));
  const closed = Promise.withResolvers<void>();
  const port = await tcpStub(t, (socket) => {
    socket.once('close', () => closed.resolve()).resume();
    socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
  });
  const outcome = await forward(clientOf(t), orderOf(), merchantOf(`http://127.0.0.1:${port}`), 5000, () => {});
  assert.deepEqual(outcome, { kind: 'rejected', reason: 'HTTP 413', status: 413 });
  await closed.promise;
});

test('an answer that came in time counts, however late a busy thread comes to look', async (t) => {
  const { url, counts } = await merchantNearby(t);
  const client = clientOf(t);
  const send = (ms: number): Promise<ThreadOutcome> => forward(client, orderOf(), merchantOf(url), ms, () => {});
  assert.deepEqual(await send(5000), { kind: 'delivered', status: 200 });
  const outcome = await new Promise<ThreadOutcome>((resolve) => {
    setImmediate(() => void send(20).then(resolve));
    setImmediate(() => {
      standUntilAnswered(counts, 2);
      const overAt = performance.now() + 50;
      while (performance.now() < overAt);
    });
  });
  assert.deepEqual(outcome, { kind: 'delivered', status: 200 });
});

test('a handler’s own time-out for the answer begins when its body is sent', async (t) => {
  const stub = await httpStub(t, () => {});
  const call = clientOf(t).handlers.post(`${stub.origin}/orders`, { json: { id: 'o-1' }, timeout: { response: 50 } });
  await assert.rejects(call, { name: 'TimeoutError', message: /response/ });
});

test('a stream whose length a handler announces is delivered', async (t) => {
  const stub = await httpStub(t, (response) => response.end('{"ok":true}'));
  const { handlers } = clientOf(t);
  const headers = { 'content-length': '10' };
  const answer = await handlers.post(stub.origin, { body: Readable.from(['01234', '56789']), headers });
  assert.equal(answer.statusCode, 200);
  const upload = handlers.stream.post(stub.origin, { headers });
  const answered = once(upload, 'response');
  await pipeline(Readable.from(['01234', '56789']), upload, async (body) => {
    for await (const _ of body);
  });
  await answered;
  assert.deepEqual(
    stub.seen.map(({ body }) => body),
    ['0123456789', '0123456789'],
  );
});
