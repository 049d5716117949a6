import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withBroker } from '../helpers/broker.ts';
import type { LogLine } from '../helpers/log-lines.ts';
import { backlog, type Message, put } from '../helpers/queues.ts';
import { type Reply, Target } from '../helpers/target.ts';
import { startWorker, type Worker } from '../helpers/worker.ts';

const broker = await withBroker();

const KB = 1000;
const WINDOW = 2 * 2 ** 20;

/** For one merchant, or for fifty. */
function orders(name: string, count: number, bytes: number, merchant?: string): Message[] {
  return Array.from({ length: count }, (_, n) => {
    const body = { id: `${name}-${n}`, merchant_id: merchant ?? `m-${n % 50}`, note: 'x'.repeat(bytes) };
    return { messageId: `${name}-${n}`, body };
  });
}

interface Reading {
  readonly unsettled: number;
  readonly unsettledBytes: number;
}

/** The figures of a `stats` line. */
function readingOf(line: LogLine): Reading | undefined {
  return line['counts'] as Reading | undefined;
}

/** Those of each `stats` line so far. */
function readings(worker: Worker): readonly Reading[] {
  return worker.log.matching('stats').map((line) => readingOf(line) as Reading);
}

/** Calls are held until it is opened. */
function gate(): { respond: () => Promise<Reply>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<Reply>();
  return { respond: () => promise, open: () => resolve({ status: 200 }) };
}

test('a backlog of large orders is held only as far as --window-bytes allows, and all of it delivered', async (t) => {
  const queue = broker.queueName();
  const doors = gate();
  const target = await Target.start(t, doors.respond);
  const window = { windowBytes: WINDOW, statsIntervalMs: 10 };
  const worker = await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate, ...window });
  await put(broker, queue, ...orders('large', 800, 100 * KB));
  await worker.log.until((line) => (readingOf(line)?.unsettledBytes ?? 0) > WINDOW / 2);
  doors.open();
  await target.until('all of them', () => target.received.length === 800 && target.open === 0);
  const peak = Math.max(...readings(worker).map(({ unsettledBytes }) => unsettledBytes));
  // What is on its way when the window is full, as many again as the prefetch of the next consumer allows, comes on top.
  assert.ok(peak < 3 * WINDOW, `${peak} bytes of 80,000,000 were unsettled at once`);
  worker.drain();
  assert.equal((await worker.done).unfinished, 0);
  assert.equal(target.receipts.duplicates, 0);
  assert.deepEqual(await backlog(broker, queue), {});
});

for (const [what, hanging] of [
  ['', 0],
  [', even while two large ones hang', 2],
] as const) {
  test(`after large orders, small ones are taken as many at a time as --prefetch allows${what}`, async (t) => {
    const queue = broker.queueName();
    const doors = gate();
    const target = await Target.start(t, ({ key }) => {
      if (key.startsWith('hanging')) return 'silent';
      return key.startsWith('small') ? doors.respond() : { status: 200 };
    });
    const options = {
      url: target.urlTemplate,
      windowBytes: WINDOW,
      prefetch: 400,
      statsIntervalMs: 50,
    };
    const worker = await startWorker(t, { broker: [broker.url], queue, ...options });
    await put(broker, queue, ...orders('hanging', hanging, 100 * KB), ...orders('large', 200, 100 * KB));
    await target.until('the large ones', () => target.received.length === 200 + hanging && target.open === hanging);
    await put(broker, queue, ...orders('small', 500, 1));
    await target.until('as many as the prefetch allows', () => target.open === 400);
    doors.open();
    await target.until('all', () => target.received.length === 700 + hanging && target.open === hanging);
    await worker.log.next((line) => readingOf(line)?.unsettled === hanging);
    assert.equal(target.receipts.duplicates, 0);
  });
}

test('no more is taken than the budget has room for, and one more of the steps in which the window grows', async (t) => {
  const queue = broker.queueName();
  const doors = gate();
  const target = await Target.start(t, doors.respond);
  const options = { url: target.urlTemplate, concurrency: 100, merchantConcurrency: 100, statsIntervalMs: 10 };
  const worker = await startWorker(t, { broker: [broker.url], queue, ...options });
  await put(broker, queue, ...orders('many', 2000, 1));
  await target.until('all of the budget that 50 merchants may take', () => target.open > 90);
  doors.open();
  await target.until('all', () => target.received.length === 2000 && target.open === 0);
  const peak = Math.max(...readings(worker).map(({ unsettled }) => unsettled));
  assert.ok(peak < 1000, `${peak} of 2,000 were taken at once`);
});

test('a merchant with more large orders than it can take leaves room for the others', async (t) => {
  const queue = broker.queueName();
  const doors = gate();
  const target = await Target.start(t, ({ key }) => (key.startsWith('flood') ? doors.respond() : { status: 200 }));
  const options = { url: target.urlTemplate, merchantConcurrency: 2, windowBytes: WINDOW, statsIntervalMs: 50 };
  const worker = await startWorker(t, { broker: [broker.url], queue, ...options });
  await put(broker, queue, ...orders('flood', 60, 100 * KB, 'slow'));
  await target.until('as many of its calls as it takes', () => target.open === 2);
  await put(broker, queue, ...orders('other', 20, 100 * KB));
  const calls = (name: string): number => target.received.filter(({ key }) => key.startsWith(name)).length;
  await target.until('all of the others', () => calls('other') === 20);
  assert.equal(calls('flood'), 2, 'neither of its first calls has ended');
  doors.open();
  await target.until('all', () => target.received.length === 80 && target.open === 0);
  worker.drain();
  assert.equal((await worker.done).unfinished, 0);
  assert.equal(target.receipts.duplicates, 0);
});
