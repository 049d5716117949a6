import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { type Merchants, startMerchants } from '../../src/sim/merchants.ts';
import { generateOrder, merchantName } from '../../src/sim/orders.ts';
import { seeded, zipf } from '../../src/sim/random.ts';
import { launch, orderlane } from '../cli/command-line.ts';
import { withBroker } from '../helpers/broker.ts';
import { startCommand } from '../helpers/command.ts';
import { backlog, Collected, put, putWithTool } from '../helpers/queues.ts';
import { type Reply, Target } from '../helpers/target.ts';
import { type Scope, startWorker } from '../helpers/worker.ts';

const broker = await withBroker();
const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

async function simulated(scope: Scope): Promise<Merchants> {
  const merchants = await startMerchants();
  scope.after(() => merchants.stop());
  return merchants;
}

function workArgs(queue: string, url: string): string[] {
  // No call is to time out, however busy the machine is: these tests are about what is sent, not how fast.
  const patience = ['--timeout', '4m', '--shutdown-timeout', '5m'];
  const flags = ['--url', url, '--allow-host', '127.0.0.1', '--log-format', 'json', ...patience];
  return ['work', '-b', broker.url, '-Q', queue, ...flags];
}

/** Orders that `publish` generates, once they are on the queue. */
async function generated(queue: string, count: number): Promise<string> {
  const journal = join(scratch, `${queue}.ndjson`);
  const args = ['-Q', queue, '--generate', String(count), '--merchants', '500', '--seed', '7', '--journal', journal];
  const { code, err } = await orderlane(['publish', '-b', broker.url, ...args]);
  assert.deepEqual([code, err], [0, '']);
  return journal;
}

interface Entry {
  readonly key: string;
  readonly order: string;
  readonly merchant: string;
  readonly intendedAt: number;
}

/** What the generator made, made again from its seed and its journal: nothing of it went through orderlane. */
function bodiesOf(journal: string): ReadonlyMap<string, { readonly merchant: string; readonly body: Buffer }> {
  const entries = readFileSync(journal, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Entry)
    .toSorted((a, b) => numberOf(a) - numberOf(b));
  const random = seeded(7);
  const rank = zipf(500, 1);
  return new Map(
    entries.map(({ key, order, intendedAt }) => {
      const merchant = merchantName(rank(random));
      const body = JSON.stringify(generateOrder(random, { id: order, merchantId: merchant, placedAt: intendedAt }));
      return [key, { merchant, body: Buffer.from(body) }];
    }),
  );
}

function numberOf({ key }: Entry): number {
  return Number(key.slice(key.lastIndexOf('-') + 1));
}

test('an order that amqp-publish puts on the queue, with nothing but a JSON body, reaches its merchant', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate });
  const body = '{ "id": "o-1",\t"merchant_id": "pizza", "note": "Grüße" }';
  await putWithTool(broker, queue, '-b "$3"', body);
  await target.until('the order', () => target.received.length === 1);
  const [call] = target.received;
  assert.deepEqual([call?.path, call?.attempt, call?.body.toString()], ['/pizza/orders', 1, body]);
  assert.match(call?.key ?? '', /^o-1:[0-9a-f]{32}$/);
});

test('10,000 generated orders are each received once, byte for byte, and work --drain ends with 0', async (t) => {
  const queue = broker.queueName();
  const merchants = await simulated(t);
  const sent = t.mock.method(merchants.receipts, 'sent');
  const expected = bodiesOf(await generated(queue, 10_000));
  assert.equal(expected.size, 10_000);
  const { code, out, err } = await orderlane([...workArgs(queue, merchants.urlTemplate), '--drain']);
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /"msg":"ended: \d+ received, 10000 delivered/);
  const calls = sent.mock.calls.map((call) => call.arguments);
  assert.equal(calls.length, 10_000);
  for (const [key, merchant, attempt, hash] of calls) {
    const order = expected.get(key);
    assert.deepEqual([merchant, attempt, hash], [order?.merchant, '1', crc32(order?.body as Buffer)]);
  }
  const { accepted, duplicates, size } = merchants.receipts;
  assert.deepEqual([accepted, duplicates, size, merchants.stats().requests], [10_000, 0, 10_000, 10_000]);
  assert.deepEqual(await backlog(broker, queue), {});
});

test('with a handler that makes two calls an order, each is received once, with a key of its own', async (t) => {
  const queue = broker.queueName();
  const merchants = await simulated(t);
  const sent = t.mock.method(merchants.receipts, 'sent');
  const expected = bodiesOf(await generated(queue, 2000));
  const handler = fileURLToPath(new URL('../../examples/create-and-pay.ts', import.meta.url));
  const args = [...workArgs(queue, merchants.urlTemplate), '--handler', handler, '--drain'];
  const { code, err } = await orderlane(args);
  assert.deepEqual([code, err], [0, '']);
  const hashes = new Map(sent.mock.calls.map(({ arguments: [key, , , hash] }) => [key, hash]));
  for (const [key, { merchant, body }] of expected) {
    const { totals } = JSON.parse(body.toString()) as { totals: { total: number } };
    assert.equal(hashes.get(key), crc32(body));
    assert.equal(hashes.get(`${key}:pay`), crc32(JSON.stringify({ amount: totals.total })));
    assert.equal(merchants.receipts.get(`${key}:pay`)?.merchant, merchant);
  }
  const { requests, accepted } = merchants.stats();
  assert.deepEqual([requests, accepted, merchants.receipts.size, merchants.receipts.duplicates], [4000, 4000, 4000, 0]);
  assert.deepEqual(await backlog(broker, queue), {});
});

test('a handler file anywhere can import orderlane, without an install', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const handler = join(scratch, 'copied.ts');
  copyFileSync(fileURLToPath(new URL('../../examples/create-and-pay.ts', import.meta.url)), handler);
  await startWorker(t, { broker: [broker.url], queue, handler, url: target.urlTemplate });
  await put(broker, queue, { messageId: 'one', body: { id: 'o', merchant_id: 'm', totals: { total: 1250 } } });
  await target.until('two calls', () => target.received.length === 2);
  assert.deepEqual(
    target.received.map(({ path, key }) => [path, key]),
    [
      ['/m/orders', 'one'],
      ['/m/orders/pay', 'one:pay'],
    ],
  );
});

test('a merchant directory is read again when it changes, and the last good one stays while it is bad', async (t) => {
  const queue = broker.queueName();
  const gate = Promise.withResolvers<Reply>();
  const [before, now] = [await Target.start(t, () => gate.promise), await Target.start(t)];
  const file = join(scratch, 'merchants.json');
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  const directory = (target: Target, concurrency: number): string => {
    const merchants = { m: { url: target.urlTemplate, concurrency } };
    return JSON.stringify({ allowHosts: [new URL(target.url).host], merchants });
  };
  const order = (messageId: string) => ({ messageId, body: { id: messageId, merchant_id: 'm' } });
  write(directory(before, 1));
  const { log } = startCommand(t, ['work', '-b', broker.url, '-Q', queue, '--merchants', file, '--log-format', 'json']);
  await log.until('ready');
  await put(broker, queue, ...['1', '2', '3', '4'].map(order));
  await before.until('a call', () => before.open === 1);

  write(directory(before, 3));
  await log.until('the merchant directory has changed: 0 added, 0 removed, 1 changed, 1 in all');
  await before.until('three calls', () => before.open === 3);
  gate.resolve({ status: 200 });
  await before.until('all four', () => before.received.length === 4);

  write(directory(now, 3));
  await log.nth(2, /^the merchant directory has changed/);
  await put(broker, queue, order('5'));
  await now.until('the order', () => now.callsOf('5').length === 1);

  write('{"merchants": {"m": {"url": "nowhere"}}}');
  const { level, reason } = await log.until('the merchant directory cannot be used; the last good one stays in force');
  assert.equal(level, 50);
  assert.match(String(reason), /m.*url.*expected an https:\/\/ or http:\/\/ URL.*nowhere/);
  await put(broker, queue, order('6'));
  await now.until('the order', () => now.callsOf('6').length === 1);

  write(directory(before, 1));
  await log.nth(3, /^the merchant directory has changed/);
  await put(broker, queue, order('7'));
  await before.until('the order', () => before.callsOf('7').length === 1);
  assert.equal(log.matching(/cannot be used/).length, 1);
});

test('a reader that does not take the log stalls nobody, and not the exit', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const args = [...workArgs(queue, target.urlTemplate), '--log-level', 'debug', '--merchant-key', '/nowhere'];
  const child = launch(args);
  t.after(() => child.kill('SIGKILL'));
  const [first] = (await once(child.stdout as Readable, 'data')) as [Buffer];
  child.stdout?.pause();
  assert.match(first.toString(), /connected to RabbitMQ/);
  // Each is dead-lettered with a line of its own, which is far more than a pipe takes.
  const body = { id: 'o', note: 'x'.repeat(50) };
  await put(broker, queue, ...Array.from({ length: 5000 }, (_, n) => ({ messageId: `m-${n}`, body })));
  const dead = await Collected.from(broker, `${queue}.dead`);
  await dead.count(5000);
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
});
