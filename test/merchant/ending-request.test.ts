import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { forward } from '../../src/merchant/forward.ts';
import { HttpClient } from '../../src/merchant/http-client.ts';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { httpStub, merchantOf, orderOf } from './stub.ts';

const SERVER = `
  const { createServer } = require('node:http');
  const { parentPort, workerData } = require('node:worker_threads');
  const [CONNECTIONS, ANSWERS] = [0, 1];
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end('{"ok":true}', () => {
      Atomics.add(workerData, ANSWERS, 1);
      Atomics.notify(workerData, ANSWERS);
    }));
  });
  server.on('connection', () => Atomics.add(workerData, CONNECTIONS, 1));
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

/** A merchant on a thread of its own, which answers while this one is busy. */
async function merchantNearby(t: TestContext): Promise<{ url: string; counts: Int32Array }> {
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(SERVER, { eval: true, workerData: counts });
  t.after(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [number];
  return { url: `http://127.0.0.1:${port}/orders`, counts };
}

/** This thread stands still until that many answers were written; who gets one may know of it before they are counted. */
function standUntilAnswered(counts: Int32Array, answers: number): void {
  for (let seen = Atomics.load(counts, 1); seen < answers; seen = Atomics.load(counts, 1)) {
    assert.notEqual(Atomics.wait(counts, 1, seen, 5000), 'timed-out');
  }
}

function clientOf(t: TestContext): HttpClient {
  const client = new HttpClient({ connectTimeoutMs: 3000, allowHosts: ['127.0.0.1'] });
  t.after(() => client.close());
  return client;
}

const bodies = { small: '{"id":"o-1"}', 'of several writes': JSON.stringify({ id: 'o-1', note: 'ü'.repeat(100_000) }) };

for (const [size, body] of Object.entries(bodies)) {
  test(`a merchant that answers before the thread's next turn keeps its connection: a body ${size}`, async (t) => {
    const { url, counts } = await merchantNearby(t);
    const client = clientOf(t);
    const send = (): Promise<ThreadOutcome> => forward(client, orderOf({ body }), merchantOf(url), 5000, () => {});
    assert.deepEqual(await send(), { kind: 'delivered', status: 200 });
    const outcome = await new Promise<ThreadOutcome>((resolve) => {
      setImmediate(() => void send().then(resolve));
      // By now it is written, unless it takes several writes: this thread stands still until the answer is there.
      if (size === 'small') setImmediate(() => standUntilAnswered(counts, 2));
    });
    assert.deepEqual(outcome, { kind: 'delivered', status: 200 });
    assert.deepEqual(await send(), { kind: 'delivered', status: 200 });
    standUntilAnswered(counts, 3);
    assert.deepEqual([...counts], [1, 3], 'connections, answers');
  });
}

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
