import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ConsumeMessage } from 'amqplib';
import { orderlane } from '../cli/command-line.ts';
import { AmqpProxy } from '../faults/amqp-proxy.ts';
import { withBroker } from '../helpers/broker.ts';
import { startCommand } from '../helpers/command.ts';
import { backlog, Collected, put } from '../helpers/queues.ts';
import { type Respond, Target } from '../helpers/target.ts';
import { startWorker } from '../helpers/worker.ts';

const broker = await withBroker();
const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

interface Event {
  readonly specversion: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  readonly time: string;
  readonly datacontenttype: string;
  readonly data: {
    readonly identity: string;
    readonly orderId: string;
    readonly merchant: string;
    readonly outcome: string;
    readonly end: string;
    readonly deadLetterReason?: string;
    readonly attempt: number;
    readonly hop: number;
    readonly status?: number;
    readonly answer?: unknown;
    readonly [member: string]: unknown;
  };
}

function read({ content }: ConsumeMessage): Event {
  return JSON.parse(content.toString()) as Event;
}

/** A queue of somebody else's on the exchange of the outcomes, which is made here as any consumer would make it. */
async function listen(queue: string, ...patterns: readonly string[]): Promise<Collected> {
  const channel = await (await broker.connect()).createChannel();
  await channel.assertExchange(`${queue}.outcomes`, 'topic', { durable: true });
  const { queue: own } = await channel.assertQueue('', { exclusive: false, durable: true });
  for (const pattern of patterns) await channel.bindQueue(own, `${queue}.outcomes`, pattern);
  return await Collected.from(broker, own);
}

function directory(target: Target, merchants: Readonly<Record<string, object>>): string {
  const file = join(scratch, `${broker.queueName()}.json`);
  const content = { allowHosts: ['127.0.0.1'], defaults: { url: target.urlTemplate }, merchants };
  writeFileSync(file, JSON.stringify(content));
  return file;
}

/** What each merchant does with its orders, and how they then end. */
const MERCHANTS: Readonly<
  Record<string, { readonly respond: Respond; readonly end: string; readonly entry?: object }>
> = {
  ok: { respond: () => ({ status: 201 }), end: 'delivered' },
  'ok.too': { respond: () => ({ status: 200 }), end: 'delivered' },
  flaky: { respond: (_call, nth) => ({ status: nth === 1 ? 429 : 200 }), end: 'delivered' },
  no: { respond: () => ({ status: 422 }), end: 'dead-lettered' },
  broken: { respond: () => ({ status: 500 }), end: 'dead-lettered' },
  once: { respond: () => 'reset', end: 'parked', entry: { duplicates: 'never' } },
};
const PER_MERCHANT = 40;

test('across a SIGKILL, a consumer that is not ours sees exactly the orders that ended, with stable IDs', async (t) => {
  const queue = broker.queueName();
  const events = await listen(queue, '#');
  const target = await Target.start(t, (call, nth) => {
    const merchant = MERCHANTS[call.merchant];
    return merchant === undefined ? 'silent' : merchant.respond(call, nth);
  });
  const entries = Object.entries(MERCHANTS).map(([id, { entry = {} }]) => [id, entry] as const);
  const merchants = directory(target, { ...Object.fromEntries(entries), silent: { timeout: '4m' } });
  const args = ['work', '-b', broker.url, '-Q', queue, '--merchants', merchants, '--outcomes', '--log-format', 'json'];
  const tries = ['--max-attempts', '2', '--backoff', '10ms', '--timeout', '4m', '--shutdown-timeout', '5m'];
  const orders = Array.from({ length: PER_MERCHANT }, (_, n) => n).flatMap((n) =>
    Object.keys(MERCHANTS).map((merchant) => ({
      messageId: `${merchant}-${n}`,
      body: { id: `o-${n}`, merchant_id: merchant },
    })),
  );
  const silent = { messageId: 'unended', body: { id: 'o', merchant_id: 'silent' } };
  const idOf = ({ properties }: ConsumeMessage): string => String(properties.messageId);
  const told = (): Map<string, Event[]> => Map.groupBy(events.all.map(read), ({ data }) => data.identity);
  // Killed at the sight of an event, when its order may not be acknowledged yet, and others are sent, waiting, or told of.
  const third = orders.length / 3;
  for (const nth of [0, 1, 2]) {
    const worker = startCommand(t, [...args, ...tries]);
    if (nth === 0) await worker.log.until('ready');
    await put(broker, queue, ...(nth === 0 ? [silent] : []), ...orders.slice(nth * third, (nth + 1) * third));
    await events.first('events', () => told().size > (nth + 0.2) * third);
    worker.signal('SIGKILL');
    assert.equal(await worker.ended, 'SIGKILL');
  }
  const last = startCommand(t, [...args, ...tries]);
  await events.first('an event of each order', () => told().size === orders.length);
  const dead = await Collected.from(broker, `${queue}.dead`);
  const ambiguous = await Collected.from(broker, `${queue}.ambiguous`);
  await dead.first('each dead letter', () => new Set(dead.all.map(idOf)).size === 2 * PER_MERCHANT);
  await ambiguous.first('each parked order', () => new Set(ambiguous.all.map(idOf)).size === PER_MERCHANT);
  last.signal('SIGKILL');
  await last.ended;
  // What had not ended is there, and of it nothing was told.
  assert.deepEqual((await (await Collected.from(broker, queue)).count(1)).map(idOf), ['unended']);

  const ends = told();
  assert.deepEqual(new Set(ends.keys()), new Set(orders.map(({ messageId }) => messageId)));
  const ids = new Map<string, string>();
  for (const [identity, all] of ends) {
    const merchant = identity.replace(/-\d+$/, '');
    for (const { id, type, data } of all) {
      assert.deepEqual([data.end, type], [MERCHANTS[merchant]?.end, 'orderlane.order.ended'], identity);
      // The same ID says the same, and the same has the same ID.
      const { attempt, outcome, end, deadLetterReason } = data;
      const what = JSON.stringify([identity, attempt, outcome, end, deadLetterReason]);
      assert.equal(ids.get(what) ?? id, id);
      assert.equal(ids.get(id) ?? what, what);
      ids.set(what, id).set(id, what);
    }
  }
  // And it is true: by what merchants have accepted and what the queues hold.
  for (const [identity, [event]] of ends) {
    const here = (message: ConsumeMessage): boolean => idOf(message) === identity;
    const isTrue =
      event?.data.end === 'delivered'
        ? target.receipts.get(identity)?.acceptedAt != null && !dead.all.some(here)
        : event?.data.end === 'parked'
          ? ambiguous.all.some(here)
          : dead.all.some(here);
    assert.ok(isTrue, `${identity} ${event?.data.end}`);
  }
  t.diagnostic(`${events.all.length} events, ${ids.size / 2} different ones, of ${orders.length} orders`);
});

test('an order whose process is killed between its event and its ack tells its end again with the same ID, each time', async (t) => {
  const queue = broker.queueName();
  const events = await listen(queue, '#');
  const target = await Target.start(t, ({ merchant }) => ({ status: merchant === 'no' ? 422 : 201 }));
  const proxy = await AmqpProxy.start(broker.port);
  t.after(() => proxy.stop());
  const merchants = directory(target, { ok: {}, no: {} });
  const args = ['work', '-b', proxy.url, '-Q', queue, '--merchants', merchants, '--outcomes', '--log-format', 'json'];
  const identities = ['ok', 'no'];
  const told = (): Map<string, Event[]> => Map.groupBy(events.all.map(read), ({ data }) => data.identity);
  const heldAcks = new Set<number>();
  // The third time an order is put out for a trial: what ends then is another copy of it, of a later hop.
  for (const nth of [1, 2, 3]) {
    proxy.policy = ({ connection, from, kind }) => {
      if (from !== 'client' || kind !== 'basic.ack') return 'pass';
      heldAcks.add(connection.number);
      return { delayMs: 3_600_000 };
    };
    const worker = startCommand(t, args);
    if (nth === 1) {
      await worker.log.until('ready');
      await put(broker, queue, ...identities.map((id) => ({ messageId: id, body: { id, merchant_id: id } })));
    }
    await events.first('the events', () => identities.every((id) => (told().get(id)?.length ?? 0) >= nth));
    await proxy.until('an ack that does not arrive', () => heldAcks.size === nth);
    worker.signal('SIGKILL');
    assert.equal(await worker.ended, 'SIGKILL');
  }
  proxy.pass();
  const { code } = await orderlane([...args, '--drain', '--log-level', 'warn']);
  assert.equal(code, 0);
  for (const [identity, all] of told()) {
    assert.deepEqual([...new Set(all.map(({ id }) => id))], [all[0]?.id], identity);
    assert.ok(all.length >= 4 && all.some(({ data }) => data.hop > 0), `${identity}: ${all.length} events`);
    assert.equal(target.callsOf(identity).length, all.length);
  }
  assert.deepEqual(new Set(told().keys()), new Set(identities));
  assert.deepEqual(Object.keys(await backlog(broker, queue)), [`${queue}.dead`]);
});

test('an event is a CloudEvent with what the merchant answered, under a key of outcome and merchant', async (t) => {
  const queue = broker.queueName();
  const [all, rejected, oneMerchant] = [
    await listen(queue, '#'),
    await listen(queue, 'rejected.#'),
    await listen(queue, '*.eu.pizza'),
  ];
  const target = await Target.start(t, ({ merchant }, nth) => {
    if (merchant === 'eu.pizza') return { status: 201, body: '{ "orderNumber": "P-17" }' };
    if (merchant === 'text') return { status: 422, body: 'sold out: crème brûlée' };
    return { status: nth === 1 ? 503 : 200 };
  });
  const merchants = directory(target, { 'eu.pizza': {}, text: {}, busy: {} });
  const worker = await startWorker(t, { broker: [broker.url], queue, merchants, outcomes: 'all', backoffMs: 10 });
  const order = (merchant: string) => ({ messageId: merchant, body: { id: `o-${merchant}`, merchant_id: merchant } });
  await put(broker, queue, order('eu.pizza'), order('text'), order('busy'), { messageId: 'bad', body: 'no JSON' });
  await all.count(5);

  const [message] = await oneMerchant.count(1);
  const { contentType, deliveryMode, messageId, type, timestamp, appId } = message?.properties ?? {};
  const event = read(message as ConsumeMessage);
  assert.deepEqual(
    [contentType, deliveryMode, messageId, type, appId, message?.fields.routingKey],
    ['application/cloudevents+json', 2, event.id, event.type, 'orderlane', 'delivered.eu.pizza'],
  );
  assert.equal(timestamp, Math.floor(Date.parse(event.time) / 1000));
  assert.match(event.id, /^[0-9a-f]{32}$/);
  const { specversion, source, type: kind, subject, datacontenttype, data } = event;
  assert.deepEqual(
    { specversion, source, kind, subject, datacontenttype },
    {
      specversion: '1.0',
      source: `/orderlane/${queue}`,
      kind: 'orderlane.order.ended',
      subject: 'o-eu.pizza',
      datacontenttype: 'application/json',
    },
  );
  const { publishedAt, receivedAt, startedAt, endedAt, durationMs, ...rest } = data;
  assert.deepEqual(rest, {
    identity: 'eu.pizza',
    orderId: 'o-eu.pizza',
    merchant: 'eu.pizza',
    outcome: 'delivered',
    end: 'delivered',
    attempt: 1,
    hop: 0,
    status: 201,
    answer: { orderNumber: 'P-17' },
  });
  assert.ok(Number(durationMs) >= 0);
  const times = [publishedAt, receivedAt, startedAt, endedAt].map(String);
  assert.ok(
    times.every((time) => new Date(time).toISOString() === time),
    String(times),
  );
  assert.deepEqual(times, times.toSorted());

  const [no] = (await rejected.count(1)).map(read);
  const { reason, deadLetterReason, detail, end, status, answer } = (no as Event).data;
  assert.deepEqual(
    { reason, deadLetterReason, detail, end, status, answer },
    {
      reason: 'HTTP 422',
      deadLetterReason: 'rejected',
      detail: 'HTTP 422',
      end: 'dead-lettered',
      status: 422,
      answer: 'sold out: crème brûlée',
    },
  );
  const ofBusy = all.all.filter(({ fields }) => fields.routingKey.endsWith('.busy')).map(read);
  assert.deepEqual(
    ofBusy.map(({ type: what, data: { outcome, end: how, attempt, hop, retryInMs } }) => [
      what,
      outcome,
      how,
      attempt,
      hop,
      typeof retryInMs,
    ]),
    [
      ['orderlane.attempt.ended', 'throttled', 'retried', 1, 0, 'number'],
      ['orderlane.order.ended', 'delivered', 'delivered', 2, 1, 'undefined'],
    ],
  );
  const bad = all.all.find(({ fields }) => fields.routingKey === 'malformed');
  assert.equal(read(bad as ConsumeMessage).data['startedAt'], undefined);
  worker.drain();
  assert.deepEqual((await worker.done).unfinished, 0);
  assert.equal(all.all.length, 5);
});

test('what a handler returns is in the event of its order', async (t) => {
  const queue = broker.queueName();
  const events = await listen(queue, '#');
  const handler = fileURLToPath(new URL('handlers/returning.ts', import.meta.url));
  await startWorker(t, {
    broker: [broker.url],
    queue,
    handler,
    url: 'https://pos.example/{merchantId}',
    outcomes: 'final',
  });
  const order = (merchant: string) => ({ messageId: merchant, body: { id: 'o', merchant_id: merchant } });
  await put(broker, queue, ...['number', 'nothing', 'circle', 'large'].map(order));
  await events.count(4);
  const dataOf = (merchant: string) => events.all.map(read).find(({ data }) => data.merchant === merchant)?.data;
  assert.deepEqual(dataOf('number')?.answer, { posOrder: 17 });
  assert.ok(!('answer' in (dataOf('nothing') ?? {})) && !('answerOmitted' in (dataOf('nothing') ?? {})));
  assert.match(
    String(dataOf('circle')?.['answerOmitted']),
    /^what deliver\(\) returned is not JSON: Converting circular/,
  );
  assert.match(String(dataOf('large')?.['answerOmitted']), /is 5002 bytes of JSON, more than 4096$/);
});

test('an event that nobody listens for is dropped, and a stop with events on their way loses none', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const args = ['work', '-b', broker.url, '-Q', queue, '--url', target.urlTemplate, '--allow-host', '127.0.0.1'];
  const alone = startCommand(t, [...args, '--outcomes', '--log-format', 'json']);
  await alone.log.until('ready');
  await put(broker, queue, { messageId: 'unheard', body: { id: 'o', merchant_id: 'm' } });
  await target.until('the order', () => target.callsOf('unheard').length === 1);
  alone.signal('SIGTERM');
  assert.equal(await alone.ended, 0);
  const events = await listen(queue, '#');
  await put(broker, queue, ...Array.from({ length: 500 }, (_, n) => ({ body: { id: `o-${n}`, merchant_id: 'm' } })));
  const { code, err } = await orderlane([...args, '--outcomes=final', '--drain', '--log-level', 'warn']);
  assert.deepEqual([code, err], [0, '']);
  await events.count(500);
  assert.equal(new Set(events.all.map((message) => read(message).data.orderId)).size, 500);
  assert.deepEqual(await backlog(broker, queue), {});
});

test('while the broker refuses events nothing is acknowledged; then all is, each order sent once', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const channel = await (await broker.connect()).createChannel();
  await channel.assertExchange(`${queue}.outcomes`, 'topic', { durable: true });
  const full = `${queue}.full`;
  await channel.assertQueue(full, { durable: true, arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } });
  await channel.bindQueue(full, `${queue}.outcomes`, '#');
  const worker = await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate, outcomes: 'final' });
  const body = { id: 'o', merchant_id: 'm' };
  await put(broker, queue, ...['1', '2', '3', '4', '5'].map((messageId) => ({ messageId, body })));
  const { exchange, reason } = await worker.log.until(/^could not store a message/);
  assert.deepEqual([exchange, reason], [`${queue}.outcomes`, 'the broker refused it']);
  assert.ok(worker.stats().unsettled > 0);
  const events = await Collected.from(broker, full);
  await events.first('all five', () => new Set(events.all.map((message) => read(message).data.identity)).size === 5);
  worker.drain();
  assert.equal((await worker.done).unfinished, 0);
  assert.deepEqual(target.received.map(({ key }) => key).toSorted(), ['1', '2', '3', '4', '5']);
  assert.deepEqual(await backlog(broker, queue), {});
});

test('the exchange is made anew when it is deleted, and what had to be told is told', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const worker = await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate, outcomes: 'final' });
  const channel = await (await broker.connect()).createChannel();
  await channel.deleteExchange(`${queue}.outcomes`);
  await put(broker, queue, { messageId: 'one', body: { id: 'o', merchant_id: 'm' } });
  await worker.log.until('publishing connection is back');
  worker.drain();
  assert.equal((await worker.done).unfinished, 0);
  await channel.checkExchange(`${queue}.outcomes`);
  assert.equal(target.received.length, 1);
});

test('an exchange of another type, one that is missing, and one that may not be used are told at the start', async (t) => {
  const queue = broker.queueName();
  const start = (options: object) =>
    startWorker(t, {
      broker: [broker.url],
      queue,
      url: 'https://pos.example/{merchantId}',
      outcomes: 'final',
      ...options,
    });
  const exchange = `${queue}.outcomes`;
  const channel = await (await broker.connect()).createChannel();
  const told = (message: RegExp) => ({ code: 'BROKER_REFUSED', message });
  await channel.assertExchange(exchange, 'direct', { durable: true });
  await assert.rejects(
    start({}),
    told(/orders-\d+\.outcomes' has other arguments .*type should be 'topic' but is 'direct'/),
  );
  await channel.deleteExchange(exchange);
  await assert.rejects(
    start({ declare: 'passive' }),
    told(/the broker has no exchange 'orders-\d+\.outcomes', to which --outcomes publishes/),
  );
  await broker.ctl('add_user', 'limited', 'secret');
  await broker.ctl('set_permissions', '-p', '/', 'limited', '.*', `^(${queue}(?!\\.outcomes).*|amq\\.default)$`, '.*');
  const limited = broker.url.replace(/\/\/(?:.*@)?/, '//limited:secret@');
  await assert.rejects(
    start({ broker: [limited] }),
    told(/not permit this user to publish to exchange 'orders-\d+\.outcomes', as --outcomes needs/),
  );
  await broker.ctl('set_permissions', '-p', '/', 'limited', `^${queue}(?!\\.outcomes)`, '.*', '.*');
  await assert.rejects(
    start({ broker: [limited] }),
    told(/does not permit this user to declare exchange 'orders-\d+\.outcomes'/),
  );
});
