import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { check } from '../../src/sim/checker.ts';
import { withBroker } from '../helpers/broker.ts';
import { backlog, Collected, type Message, put } from '../helpers/queues.ts';
import { type Reply, Target } from '../helpers/target.ts';
import { startWorker, type Worker } from '../helpers/worker.ts';
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../merchant/loopback-cert.ts';

const broker = await withBroker();

function orders(count: number): (Message & { messageId: string; merchant: string })[] {
  return Array.from({ length: count }, (_, n) => {
    const merchant = `m-${n % 50}`;
    const messageId = `id-${n}`;
    return { messageId, merchant, body: { id: `o-${n}`, merchant_id: merchant } };
  });
}

async function closeConnections(): Promise<void> {
  await broker.ctl('close_all_connections', 'for a test');
}

/** Both connections are there again, or those that are named, for the nth time. */
async function isBack(worker: Worker, times: number, ...roles: readonly string[]): Promise<void> {
  for (const role of roles.length > 0 ? roles : ['consuming', 'publishing']) {
    await worker.log.nth(times, `${role} connection is back`);
  }
}

async function drained(worker: Worker): Promise<Awaited<Worker['done']>> {
  worker.drain();
  return await worker.done;
}

test('orders in flight when the broker closes its connections are delivered once: redeliveries join them', async (t) => {
  const queue = broker.queueName();
  const gate = Promise.withResolvers<Reply>();
  const target = await Target.start(t, () => gate.promise);
  const options = { broker: [broker.url], queue, url: target.urlTemplate, statsIntervalMs: 50 };
  const worker = await startWorker(t, options);
  await put(broker, queue, ...orders(500));
  await target.until('500 calls', () => target.open === 500);
  await closeConnections();
  await isBack(worker, 1);
  await worker.log.until((line) => (line['counts'] as { joined: number } | undefined)?.joined === 500);
  gate.resolve({ status: 200 });
  await target.until('500 answers', () => target.open === 0);
  await put(broker, queue, { messageId: 'later', body: { id: 'later', merchant_id: 'm-1' } });
  await target.until('the next', () => target.callsOf('later').length === 1);
  const { unfinished, stats } = await drained(worker);
  assert.deepEqual([unfinished, stats.received, stats.joined, stats.outcomes.delivered], [0, 501, 500, 501]);
  assert.equal(target.received.length, 501);
  assert.deepEqual(await backlog(broker, queue), {});
});

test('orders that were delivered while there was no connection are not sent again when they come back', async (t) => {
  const queue = broker.queueName();
  const gate = Promise.withResolvers<Reply>();
  const target = await Target.start(t, () => gate.promise);
  const worker = await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate });
  await put(broker, queue, ...orders(200));
  await target.until('200 calls', () => target.open === 200);
  const closing = closeConnections();
  await worker.log.until('consuming connection lost; reconnecting');
  gate.resolve({ status: 200 });
  await closing;
  await isBack(worker, 1);
  await target.until('200 answers', () => target.open === 0);
  const { unfinished, stats } = await drained(worker);
  assert.deepEqual([unfinished, stats.outcomes.delivered], [0, 200]);
  assert.equal(target.received.length, 200);
  assert.deepEqual(await backlog(broker, queue), {});
});

test('orders whose retries are being published when connections close are neither lost nor sent twice', async (t) => {
  const queue = broker.queueName();
  const accepted = new Set<string>();
  const target = await Target.start(t, async (call, nth) => {
    await sleep(100); // 100 at a time: 600 orders take 600 ms and their retries as long again, in which the connections are closed
    if (call.merchant === 'm-1') return { status: 422 };
    if (nth <= 2) return { status: 500 };
    accepted.add(call.key);
    return { status: 200 };
  });
  const options = { broker: [broker.url], queue, url: target.urlTemplate, merchantConcurrency: 2, backoffMs: 100 };
  const worker = await startWorker(t, options);
  const messages = orders(1800);
  for (let times = 1; times <= 3; times++) {
    await put(broker, queue, ...messages.slice((times - 1) * 600, times * 600));
    await closeConnections();
    await isBack(worker, times);
  }
  await target.until('all orders', () => accepted.size === 1764 && target.receipts.size === 1800);
  const { unfinished, stats } = await drained(worker);
  assert.equal(unfinished, 0);
  assert.ok(stats.joined > 0);
  const left = await backlog(broker, queue);
  assert.deepEqual(Object.keys(left), [`${queue}.dead`]);
  const dead = await Collected.from(broker, `${queue}.dead`);
  // Where a confirm was lost with its connection, the letter was published again: it may be there twice.
  const letters = await dead.count(left[`${queue}.dead`] as number);
  const verdict = check({
    published: messages.map(({ messageId: key, merchant }) => ({
      key,
      merchant,
      order: key,
      intendedAt: 0,
      confirmedAt: 1,
    })),
    receipts: target.receipts,
    dead: new Set(letters.map(({ properties }) => String(properties.messageId))),
  });
  const { delivered, deadLettered, lost, doubled, duplicateSends, misdirected } = verdict;
  assert.deepEqual(
    { delivered, deadLettered, lost, doubled, duplicateSends, misdirected },
    { delivered: 1764, deadLettered: 36, lost: 0, doubled: 0, duplicateSends: 0, misdirected: 0 },
  );
});

test('a broker that goes away and comes back is picked up where it was left', async (t) => {
  const queue = broker.queueName();
  const gate = Promise.withResolvers<Reply>();
  const target = await Target.start(t, (_call, nth) => (nth === 1 ? gate.promise : { status: 200 }));
  const options = { broker: [broker.url], queue, url: target.urlTemplate, merchantConcurrency: 1, backoffMs: 100 };
  const worker = await startWorker(t, options);
  await put(broker, queue, ...orders(300));
  await target.until('50 calls', () => target.open === 50);
  await broker.ctl('stop_app');
  gate.resolve({ status: 500 });
  await target.until('50 answers', () => target.open === 0);
  await broker.ctl('start_app');
  await target.until('all orders, twice', () => target.received.length === 600);
  await target.until('all answers', () => target.open === 0);
  const { unfinished, stats } = await drained(worker);
  assert.deepEqual([unfinished, stats.outcomes.delivered, stats.retried], [0, 300, 300]);
  assert.equal(target.receipts.duplicates, 0);
  assert.deepEqual(await backlog(broker, queue), {});
});

test('while the broker takes no messages, deliveries are acknowledged and retries and dead letters wait', async (t) => {
  const queue = broker.queueName();
  const gate = Promise.withResolvers<void>();
  const target = await Target.start(t, async ({ merchant }) => {
    await gate.promise;
    return { status: merchant === 'm-1' ? 422 : 200 };
  });
  const options = { broker: [broker.url], queue, url: target.urlTemplate, statsIntervalMs: 50 };
  const worker = await startWorker(t, options);
  await put(broker, queue, ...orders(100));
  await target.until('100 calls', () => target.open === 100);
  await broker.ctl('set_vm_memory_high_watermark', 'absolute', '1MB');
  t.after(() => broker.ctl('set_vm_memory_high_watermark', 'absolute', '512MB'));
  gate.resolve();
  await worker.log.until('the broker takes no more messages for now: retries, dead letters and outcome events wait');
  await worker.log.until((line) => (line['counts'] as { unsettled: number } | undefined)?.unsettled === 2);
  await broker.ctl('set_vm_memory_high_watermark', 'absolute', '512MB');
  await worker.log.next((line) => (line['counts'] as { unsettled: number } | undefined)?.unsettled === 0);
  assert.equal((await drained(worker)).unfinished, 0);
  assert.deepEqual(await backlog(broker, queue), { [`${queue}.dead`]: 2 });
});

test('a queue that is deleted while work runs is made again', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const worker = await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate });
  await broker.ctl('delete_queue', queue);
  const { reason } = await worker.log.until('consuming connection lost; reconnecting');
  assert.match(String(reason), /was the queue deleted\?/);
  await isBack(worker, 1, 'consuming');
  await put(broker, queue, ...orders(1));
  await target.until('the order', () => target.received.length === 1);
});

test('an address that does not answer is passed over', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  await startWorker(t, { broker: ['amqp://127.0.0.1:1', broker.url], queue, url: target.urlTemplate });
  await put(broker, queue, ...orders(1));
  await target.until('the order', () => target.received.length === 1);
});

test('a broker behind TLS is trusted by its authority alone', async (t) => {
  const queue = broker.queueName();
  const tls = createServer({ cert: LOOPBACK_CERT, key: LOOPBACK_KEY }, (secure) => {
    const plain = connect(broker.port, '127.0.0.1');
    pipeline(secure, plain, secure, () => undefined); // ends with the connection
  });
  tls.listen(0, '127.0.0.1');
  await once(tls, 'listening');
  t.after(() => tls.close());
  const address = `amqps://guest:guest@127.0.0.1:${(tls.address() as AddressInfo).port}`;
  const target = await Target.start(t);
  const options = { broker: [address], queue, url: target.urlTemplate };
  await assert.rejects(startWorker(t, options), /it is self-signed \(DEPTH_ZERO_SELF_SIGNED_CERT\).*--broker-ca FILE/);

  const file = join(mkdtempSync(join(tmpdir(), 'orderlane-test-')), 'ca.pem');
  t.after(() => rmSync(dirname(file), { recursive: true }));
  writeFileSync(file, LOOPBACK_CERT);
  await startWorker(t, { ...options, brokerCa: file });
  await put(broker, queue, ...orders(1));
  await target.until('the order', () => target.received.length === 1);
});

test('two workers on one queue share its orders and their retries, and both end with --drain', {
  timeout: 45_000,
}, async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t, async (_call, nth) => {
    await sleep(20);
    return { status: nth === 1 ? 500 : 200 };
  });
  const shared = { broker: [broker.url], queue, url: target.urlTemplate, backoffMs: 100, drain: true };
  const limits = { prefetch: 50, concurrency: 50 };
  const workers = await Promise.all([1, 2].map(() => startWorker(t, { ...shared, ...limits })));
  await put(broker, queue, ...orders(600));
  await target.until('every order, twice', () => target.received.length === 1200);
  const ended = await Promise.all(workers.map((worker) => worker.done));
  assert.ok(ended.every(({ stats }) => stats.outcomes.delivered > 0));
  assert.deepEqual([target.received.length, target.receipts.duplicates, target.receipts.accepted], [1200, 0, 600]);
  assert.deepEqual(await backlog(broker, queue), {});
});
