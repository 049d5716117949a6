import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { MessageProperties, Options } from 'amqplib';
import { JsonCodec } from '../../../src/broker/codec/json.ts';
import { Publisher } from '../../../src/broker/rabbitmq/publisher.ts';
import { keptOf } from '../../../src/broker/rabbitmq/kept.ts';
import { republish } from '../../../src/broker/rabbitmq/republish.ts';
import type { Settlement } from '../../../src/outcome.ts';
import { delivery, HandClock, WALL } from '../../helpers/deliveries.ts';
import { FakeConnection } from './confirm-channel.ts';

/** A publisher under a supervisor that tells it when its channel is gone, and leaves opening another to the test. */
class Rig {
  readonly done: string[] = [];
  readonly warnings: string[] = [];
  readonly infos: string[] = [];
  readonly failures: string[] = [];
  readonly publisher: Publisher;
  /** Its link has been stopped, and says nothing of a channel that closes. */
  isStopped = false;
  #epoch = 0;

  constructor(t: TestContext) {
    t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    this.publisher = new Publisher('me', {
      failed: (epoch, why) => {
        this.failures.push(why);
        if (!this.isStopped) this.publisher.closed(epoch);
      },
      warn: (_fields, message) => this.warnings.push(message),
      info: (_fields, message) => this.infos.push(message),
    });
  }

  async open(): Promise<FakeConnection> {
    const connection = new FakeConnection();
    await this.publisher.open(connection.asModel(), ++this.#epoch);
    return connection;
  }

  publish(name: string, properties: Options.Publish = {}, isToBeSent?: boolean): void {
    const done = (): unknown => this.done.push(name);
    const message = { queue: 'orders.dead', body: Buffer.from(name), properties, done };
    this.publisher.publish(isToBeSent === undefined ? message : { ...message, isToBeSent });
  }
}

test('a message is published persistent and mandatory to its queue, with its own properties and an ID of this publish', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  rig.publish('a', { headers: { order_id: 'o-1' } });
  rig.publish('b');
  assert.deepEqual(connection.sent, [
    {
      queue: 'orders.dead',
      mandatory: true,
      persistent: true,
      headers: { order_id: 'o-1', orderlane_publish_id: 'me-1' },
      body: 'a',
    },
    {
      queue: 'orders.dead',
      mandatory: true,
      persistent: true,
      headers: { orderlane_publish_id: 'me-2' },
      body: 'b',
    },
  ]);
});

test('a message is done when the broker has confirmed it, not before, and once', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  for (const name of ['a', 'b', 'c', 'd']) rig.publish(name);
  assert.deepEqual([rig.done, rig.publisher.pending], [[], 4]);
  connection.ack(3);
  assert.deepEqual([rig.done, rig.publisher.pending], [['c'], 3]);
  connection.ack(2, true);
  connection.ack(4);
  assert.deepEqual([rig.done, rig.publisher.pending], [['c', 'a', 'b', 'd'], 0]);
});

test('what is published while there is no connection waits for one', async (t) => {
  const rig = new Rig(t);
  rig.publish('a');
  assert.equal(rig.publisher.pending, 1);
  const connection = await rig.open();
  assert.equal(connection.bodies, 'a');
});

for (const [what, refuse] of [
  ['a message that no queue takes', (connection: FakeConnection, tag: number) => connection.returnTo(tag)],
  ['a message that the broker refuses', (connection: FakeConnection, tag: number) => connection.nack(tag)],
] as const) {
  test(`${what} is not done, goes again a second later until it is stored, and is warned of once`, async (t) => {
    const rig = new Rig(t);
    const connection = await rig.open();
    rig.publish('a');
    refuse(connection, 1);
    assert.deepEqual(rig.done, []);
    t.mock.timers.tick(999);
    assert.equal(connection.bodies, 'a');
    t.mock.timers.tick(1);
    assert.equal(connection.bodies, 'a a');
    refuse(connection, 2);
    t.mock.timers.tick(1000);
    assert.equal(rig.warnings.length, 1);
    connection.ack(3);
    assert.deepEqual(rig.done, ['a']);
    rig.publish('b');
    refuse(connection, 4);
    assert.equal(rig.warnings.length, 2, 'it is news again after a success');
    const ids = connection.sent.map(({ headers }) => headers['orderlane_publish_id']);
    assert.equal(new Set(ids).size, 4, 'a publish shares its ID with another');
  });
}

test('a message that is refused again and again is published on a fresh connection', async (t) => {
  const rig = new Rig(t);
  const first = await rig.open();
  rig.publish('a');
  for (let refusals = 1; refusals <= 15; refusals++) {
    assert.deepEqual(rig.failures, []);
    first.nack(refusals);
    if (refusals < 15) t.mock.timers.tick(1000);
  }
  assert.deepEqual(rig.failures, ['the broker refused a message 15 times']);
  const second = await rig.open();
  t.mock.timers.tick(1000);
  assert.equal(second.bodies, 'a');
  second.nack(1);
  assert.equal(rig.failures.length, 1, 'what was refused on the last connection counts');
  t.mock.timers.tick(1000);
  second.ack(2);
  assert.deepEqual(rig.done, ['a']);
});

test('a message is pending until a queue has it, also while it waits to be tried again', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  rig.publish('a');
  connection.nack(1);
  assert.equal(rig.publisher.pending, 1);
  t.mock.timers.tick(1000);
  assert.equal(rig.publisher.pending, 1);
  connection.ack(2);
  assert.equal(rig.publisher.pending, 0);
});

test('what had no confirm when the connection was lost goes again first, on the next one', async (t) => {
  const rig = new Rig(t);
  const first = await rig.open();
  for (const name of ['a', 'b']) rig.publish(name);
  first.writable = false;
  for (const name of ['c', 'd']) rig.publish(name);
  assert.equal(first.bodies, 'a b c');
  first.ack(2);
  first.lose();
  await turn();
  rig.publish('e');
  assert.equal(rig.publisher.pending, 4);
  const second = await rig.open();
  assert.equal(second.bodies, 'a c d e');
  second.ack(4, true);
  assert.deepEqual(rig.done, ['b', 'a', 'c', 'd', 'e']);
  t.mock.timers.tick(10_000);
  assert.equal(second.bodies, 'a c d e', 'something was sent twice');
  assert.deepEqual(rig.warnings, [], 'the broker refused nothing');
});

test('an order’s next copy that goes again says that it may be sent by whoever has the first, and what ends an order does not', async (t) => {
  const rig = new Rig(t);
  const first = await rig.open();
  rig.publish('retry', { headers: { order_id: 'o-1' } }, true);
  rig.publish('dead', {}, false);
  first.writable = false;
  rig.publish('later', {}, true);
  rig.publish('unsent', {}, true);
  assert.deepEqual(
    first.sent.map(({ headers }) => headers['orderlane_possibly_sent']),
    [undefined, undefined, undefined],
  );
  first.lose();
  await turn();
  const second = await rig.open();
  assert.deepEqual(
    second.sent.map(({ body, headers }) => [body, headers['order_id'], headers['orderlane_possibly_sent']]),
    [
      ['retry', 'o-1', true],
      ['dead', undefined, undefined],
      ['later', undefined, true],
      ['unsent', undefined, undefined],
    ],
  );
  second.ack(4, true);
  assert.deepEqual(rig.done, ['retry', 'dead', 'later', 'unsent']);
});

test('a message that has no confirm for half a minute is warned of with its queue, and one that comes and goes is not', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  rig.publish('a');
  t.mock.timers.tick(29_000);
  connection.ack(1);
  rig.publish('b');
  t.mock.timers.tick(30_000);
  assert.deepEqual(rig.warnings, [], 'each was looked at once');
  t.mock.timers.tick(1000);
  assert.match(rig.warnings.join(), /^the broker has not confirmed a message for 30 s/);
  connection.emit('blocked', 'low on disk');
  t.mock.timers.tick(60_000);
  assert.equal(rig.warnings.length, 2, 'the block itself, and nothing after it');
  connection.lose();
  await turn();
  t.mock.timers.tick(120_000);
  assert.equal(rig.warnings.length, 2, 'there is no connection on which a confirm could come');
});

test('nothing watches for confirms once their channel is gone, also when its link was stopped', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  rig.publish('a');
  rig.isStopped = true;
  connection.lose();
  t.mock.timers.tick(120_000);
  assert.deepEqual(rig.warnings, []);
});

test('nothing is published while the broker blocks the connection, and all of it afterwards', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  connection.emit('blocked', 'low on disk');
  rig.publish('a');
  rig.publish('b');
  assert.equal(connection.bodies, '');
  assert.equal(rig.warnings.length, 1);
  assert.equal(rig.publisher.isBlocked, true);
  connection.emit('unblocked');
  assert.equal(connection.bodies, 'a b');
  assert.equal(rig.publisher.isBlocked, false);
  assert.deepEqual(rig.infos, ['the broker takes messages again']);
});

test('a connection is not blocked because the one before it was, or is told so now', async (t) => {
  const rig = new Rig(t);
  const first = await rig.open();
  first.emit('blocked', 'low on disk');
  rig.publish('a');
  first.lose();
  await turn();
  const second = await rig.open();
  assert.equal(second.bodies, 'a');
  first.emit('blocked', 'low on disk'); // it is closing, and its last frames still arrive
  rig.publish('b');
  assert.equal(second.bodies, 'a b');
});

test('at most 1,000 messages await their confirm; each confirm lets the next one go', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  for (let i = 1; i <= 1500; i++) rig.publish(`m${i}`);
  assert.equal(connection.sent.length, 1000);
  assert.equal(rig.publisher.pending, 1500);
  connection.ack(500);
  assert.equal(connection.sent.length, 1001);
  connection.ack(499, true);
  assert.equal(connection.sent.length, 1500);
  connection.ack(1500, true);
  assert.equal(rig.done.length, 1500);
  assert.deepEqual(
    connection.sent.map(({ body }) => body),
    Array.from({ length: 1500 }, (_, i) => `m${i + 1}`),
  );
});

test('of thousands that wait, each is sent once and in its turn, and those without a confirm again when the connection is lost', async (t) => {
  const rig = new Rig(t);
  const first = await rig.open();
  const names = Array.from({ length: 6000 }, (_, i) => `m${i + 1}`);
  for (const name of names) rig.publish(name);
  for (let tag = 1; tag <= 4500; tag++) {
    first.ack(tag);
    assert.equal(rig.publisher.pending, 6000 - tag);
  }
  first.lose();
  await turn();
  assert.equal(rig.publisher.pending, 1500);
  const second = await rig.open();
  second.ack(1000, true);
  second.ack(1500, true);
  assert.equal(first.bodies, names.slice(0, 5500).join(' '));
  assert.equal(second.bodies, names.slice(4500).join(' '));
  assert.deepEqual(rig.done, names);
  assert.equal(rig.publisher.pending, 0);
});

test('when the write buffer is full, the rest waits until it has drained', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  connection.writable = false;
  for (const name of ['a', 'b', 'c']) rig.publish(name);
  assert.equal(connection.bodies, 'a');
  connection.drain();
  assert.equal(connection.bodies, 'a b c');
});

test('a message that cannot be encoded holds up no other, and is stored without what stands in the way', async (t) => {
  for (const headers of [
    { order_id: 'o'.repeat(70_000) }, // amqplib encodes up to 64 KiB of headers
    Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`x-${i}`, 'x'.repeat(100)])),
    { note: Number.NaN },
    { note: Number.NEGATIVE_INFINITY },
    { note: { '!': 'what amqplib takes for a type' } },
  ]) {
    const rig = new Rig(t);
    const connection = await rig.open();
    rig.publish('poison', { headers });
    rig.publish('next');
    await turn();
    assert.deepEqual(rig.failures, [], 'the connection is dropped, and will be again and again');
    assert.deepEqual(connection.bodies.split(' ').toSorted(), ['next', 'poison']);
    t.mock.timers.reset();
  }
});

test('an order whose IDs are longer than headers may be is stored like any other', async (t) => {
  const long = 'x'.repeat(70_000);
  const codec = new JsonCodec({
    merchantKey: '/merchant_id',
    orderIdKey: '/id',
    maxMessageBytes: 1_000_000,
    deadlineMs: 600_000,
    instance: 'me',
    clock: new HandClock(),
  });
  for (const body of [
    { id: 'o-1', merchant_id: long },
    { id: long, merchant_id: 'pizza' },
  ]) {
    const rig = new Rig(t);
    const connection = await rig.open();
    const decoded = codec.decode({ content: Buffer.from(JSON.stringify(body)), properties: {} });
    const dead: Settlement = { kind: 'dead-letter', reason: 'malformed', detail: 'unknown merchant' };
    const times = { wall: WALL, deadline: WALL };
    const original = { headers: {} } as MessageProperties;
    const { properties } = republish('orders', delivery({ ...decoded }), keptOf(original), dead, 'me', times);
    rig.publish('dead', properties);
    await turn();
    assert.deepEqual(rig.failures, []);
    assert.equal(connection.bodies, 'dead');
    t.mock.timers.reset();
  }
});

test('an event goes to its exchange as it is, whether anybody listens or not, and comes again until it is confirmed', async (t) => {
  const rig = new Rig(t);
  const first = await rig.open();
  let [done, refused] = [0, 0];
  rig.publisher.publish({
    exchange: 'orders.outcomes',
    key: 'delivered.m',
    body: Buffer.from('{}'),
    properties: { messageId: 'e-1' },
    done: () => done++,
    refused: () => refused++,
  });
  const sent = {
    exchange: 'orders.outcomes',
    queue: 'delivered.m',
    mandatory: false,
    persistent: true,
    headers: {},
    body: '{}',
  };
  assert.deepEqual(first.sent, [sent]);
  first.nack(1);
  assert.deepEqual([done, refused, rig.publisher.pending], [0, 1, 1]);
  t.mock.timers.tick(1000);
  assert.equal(first.sent.length, 2);
  first.lose();
  await turn();
  const second = await rig.open();
  assert.deepEqual(second.sent, [sent]);
  second.ack(1);
  assert.deepEqual([done, refused, rig.publisher.pending], [1, 1, 0]);
});

test('an event that is refused again and again comes after 1, 2, 4 and then 8 seconds', async (t) => {
  const rig = new Rig(t);
  const connection = await rig.open();
  const done = (): unknown => rig.done.push('event');
  rig.publisher.publish({ exchange: 'orders.outcomes', key: 'k', body: Buffer.from('e'), properties: {}, done });
  let sent = 1;
  for (const seconds of [1, 2, 4, 8, 8]) {
    connection.nack(sent);
    t.mock.timers.tick(seconds * 1000 - 1);
    assert.equal(connection.sent.length, sent);
    t.mock.timers.tick(1);
    assert.equal(connection.sent.length, ++sent);
  }
  connection.ack(sent);
  assert.deepEqual(rig.done, ['event']);
});
