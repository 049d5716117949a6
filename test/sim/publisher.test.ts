import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { type ConfirmChannel, IllegalOperationError } from 'amqplib';
import type { Clock } from '../../src/clock.ts';
import { OrderlaneError } from '../../src/errors.ts';
import { type Publication, Publisher, Schedule } from '../../src/sim/publisher.ts';
import { seeded } from '../../src/sim/random.ts';

interface Sent {
  readonly queue: string;
  readonly body: Buffer;
  readonly options: Readonly<Record<string, unknown>>;
  /** The broker's answer, as amqplib passes it on. */
  readonly answer: (error?: Error) => void;
}

/** A channel without a broker: it remembers what was sent and answers when told. */
class FakeChannel extends EventEmitter {
  readonly sent: Sent[] = [];
  hasRoom = true;
  isClosed = false;

  publish(
    _exchange: string,
    queue: string,
    body: Buffer,
    options: Sent['options'],
    done: (error: unknown) => void,
  ): boolean {
    if (this.isClosed) throw new IllegalOperationError('Channel closed');
    this.sent.push({ queue, body, options, answer: (error) => done(error ?? null) });
    return this.hasRoom;
  }

  /** As amqplib does: every confirm that is still out fails. */
  die(): void {
    this.isClosed = true;
    for (const { answer } of this.sent) answer(new Error('channel closed'));
  }

  get asChannel(): ConfirmChannel {
    return this as unknown as ConfirmChannel;
  }
}

function order(n: number, bytes = 10): Publication {
  const messageId = `msg-${n}`;
  return {
    messageId,
    orderId: `ord-${n}`,
    merchantId: 'm-1',
    intendedAt: 1_790_000_000_750 + n,
    headers: { merchant_id: 'm-1' },
    body: Buffer.alloc(bytes, 'x'),
  };
}

function attached(): { publisher: Publisher; channel: FakeChannel; confirmed: string[] } {
  const confirmed: string[] = [];
  const publisher = new Publisher('orders', ({ messageId }) => confirmed.push(messageId));
  const channel = new FakeChannel();
  publisher.attach(channel.asChannel);
  return { publisher, channel, confirmed };
}

test('a message goes out persistent, mandatory and identified, and counts when it is confirmed', async () => {
  const { publisher, channel, confirmed } = attached();
  publisher.publish(order(1));
  const [sent] = channel.sent as [Sent];
  assert.equal(sent.queue, 'orders');
  assert.deepEqual(sent.options, {
    persistent: true,
    mandatory: true,
    contentType: 'application/json',
    messageId: 'msg-1',
    timestamp: 1_790_000_000,
    headers: { merchant_id: 'm-1' },
  });
  assert.deepEqual([publisher.published, publisher.confirmed, confirmed], [1, 0, []]);
  sent.answer();
  assert.deepEqual([publisher.published, publisher.confirmed, confirmed], [1, 1, ['msg-1']]);
  assert.equal(await publisher.settled(1000), true);
});

test('a message that no queue takes is returned and then confirmed: it counts as returned', () => {
  const { publisher, channel, confirmed } = attached();
  publisher.publish(order(1));
  channel.emit('return', { properties: { messageId: 'msg-1' } });
  channel.sent[0]?.answer();
  assert.deepEqual([publisher.confirmed, publisher.returned, confirmed], [0, 1, []]);
});

test('a nack counts as refused', () => {
  const { publisher, channel, confirmed } = attached();
  publisher.publish(order(1));
  channel.sent[0]?.answer(new Error('message nacked'));
  assert.deepEqual([publisher.confirmed, publisher.refused, confirmed], [0, 1, []]);
});

test('what has no confirm when the channel goes is published again on the next, in order, with the same message ID', async () => {
  const { publisher, channel, confirmed } = attached();
  for (let n = 1; n <= 3; n++) publisher.publish(order(n));
  channel.sent[1]?.answer();
  channel.die();
  publisher.detach();
  assert.deepEqual(
    publisher.unconfirmed.map(({ messageId }) => messageId),
    ['msg-1', 'msg-3'],
  );
  publisher.publish(order(4));
  const next = new FakeChannel();
  publisher.attach(next.asChannel);
  assert.deepEqual(
    next.sent.map(({ options }) => options['messageId']),
    ['msg-1', 'msg-3', 'msg-4'],
  );
  assert.equal(publisher.republished, 2, 'the fourth had not been published before');
  for (const { answer } of next.sent) answer();
  assert.deepEqual(confirmed, ['msg-2', 'msg-1', 'msg-3', 'msg-4']);
  assert.deepEqual([publisher.published, publisher.confirmed], [4, 4]);
  assert.equal(await publisher.settled(1000), true);
});

test('an answer from a channel that is gone counts for nothing', () => {
  const { publisher, channel, confirmed } = attached();
  publisher.publish(order(1));
  channel.emit('return', { properties: { messageId: 'msg-1' } });
  publisher.detach();
  const next = new FakeChannel();
  publisher.attach(next.asChannel);
  channel.sent[0]?.answer();
  assert.deepEqual([publisher.confirmed, publisher.returned], [0, 0]);
  next.sent[0]?.answer();
  assert.deepEqual([publisher.confirmed, publisher.returned, confirmed], [1, 0, ['msg-1']]);
});

test('a channel that closes in the middle of a publish loses nothing', () => {
  const { publisher, channel } = attached();
  channel.die();
  publisher.publish(order(1));
  const next = new FakeChannel();
  publisher.attach(next.asChannel);
  assert.equal(next.sent.length, 1);
});

test('a message that cannot be encoded is an error that names its order, and is not waited for', async () => {
  const { publisher, channel } = attached();
  channel.publish = () => {
    throw new RangeError('Index out of range');
  };
  assert.throws(
    () => publisher.publish(order(1)),
    /^OrderlaneError: order ord-1 of merchant m-1 cannot be published: Index/,
  );
  assert.equal(publisher.published, 0);
  assert.equal(await publisher.settled(1), true);
});

test('it is full at 2,000 messages or 64 MiB without a confirm, while the channel is choked, and without a channel', async () => {
  const { publisher, channel } = attached();
  for (let n = 1; n < 2000; n++) publisher.publish(order(n));
  assert.equal(publisher.isFull, false);
  publisher.publish(order(2000));
  assert.equal(publisher.isFull, true);
  const ready = publisher.ready();
  channel.sent[7]?.answer();
  assert.equal(await ready, true);

  const big = attached();
  big.publisher.publish(order(1, 64 * 1024 * 1024));
  assert.equal(big.publisher.isFull, true);
  big.channel.sent[0]?.answer();
  assert.equal(big.publisher.isFull, false);

  const choked = attached();
  choked.channel.hasRoom = false;
  choked.publisher.publish(order(1));
  assert.equal(choked.publisher.isFull, true);
  choked.channel.emit('drain');
  assert.equal(choked.publisher.isFull, false);
  choked.publisher.detach();
  assert.equal(choked.publisher.isFull, true);
});

test('closing it lets go of who waits for room', async () => {
  const publisher = new Publisher('orders', () => undefined);
  const ready = publisher.ready();
  publisher.close();
  assert.equal(await ready, false);
});

test('after a failure everything rejects with the first one', async () => {
  const { publisher, channel } = attached();
  publisher.publish(order(1));
  publisher.detach();
  const first = new OrderlaneError('FATAL', 'first');
  const waiting = [publisher.ready(), publisher.settled(60_000)];
  publisher.fail(first);
  publisher.fail(new OrderlaneError('FATAL', 'second'));
  for (const each of waiting) await assert.rejects(each, first);
  await assert.rejects(publisher.ready(), first);
  assert.throws(() => publisher.publish(order(2)), first);
  assert.equal(channel.sent.length, 1);
});

test('settling gives up when the broker answers for nothing', async () => {
  const { publisher } = attached();
  publisher.publish(order(1));
  assert.equal(await publisher.settled(1), false);
});

class FakeClock implements Clock {
  at = 0;
  epoch = 1_790_000_000_000;
  now(): number {
    return this.at;
  }
  wall(): number {
    return this.epoch + this.at;
  }
}

test('a schedule with a rate is fixed in advance: being late, or asking late, shifts nothing', () => {
  const [clock, lateClock] = [new FakeClock(), new FakeClock()];
  const schedule = new Schedule(100, seeded(1), clock);
  const late = new Schedule(100, seeded(1), lateClock);
  for (let i = 0; i < 1000; i++) {
    const at = schedule.next();
    clock.at += Math.max(0, schedule.leftMs(at));
    lateClock.at += 250;
    assert.equal(late.next(), at);
    assert.ok(Number.isInteger(at));
  }
});

test('a schedule has the rate and the spread of a Poisson process', () => {
  const clock = new FakeClock();
  const schedule = new Schedule(500, seeded(1), clock);
  const times = Array.from({ length: 50_000 }, () => schedule.next() - clock.epoch);
  const rate = times.length / ((times.at(-1) as number) / 1000);
  assert.ok(Math.abs(rate - 500) < 10, `the rate is ${rate}`);
  const perSecond = new Float64Array(90);
  for (const at of times) if (at < 90_000) (perSecond[Math.floor(at / 1000)] as number) += 1;
  const variance = perSecond.reduce((sum, each) => sum + (each - 500) ** 2, 0) / perSecond.length;
  assert.ok(variance > 300 && variance < 750, `the variance is ${variance}; for a Poisson process it is the mean, 500`);
});

test('nobody is woken before a message is due', () => {
  const clock = new FakeClock();
  const schedule = new Schedule(100, seeded(1), clock);
  const at = schedule.next();
  clock.at = at - clock.epoch - 0.2;
  assert.equal(schedule.leftMs(at), 1);
  clock.at += 0.2;
  assert.ok(schedule.leftMs(at) <= 0);
});

test('without a rate a message is due when asked for, and steps of the wall clock do not count', () => {
  const clock = new FakeClock();
  const schedule = new Schedule(undefined, seeded(1), clock);
  assert.equal(schedule.next(), 1_790_000_000_000);
  clock.epoch += 3_600_000;
  clock.at = 12.7;
  assert.equal(schedule.next(), 1_790_000_000_012);
  assert.ok(schedule.leftMs(1_790_000_000_012) <= 0);
});
