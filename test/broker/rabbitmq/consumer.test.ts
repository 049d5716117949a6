import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { Consumer, type ConsumerOptions, type Held } from '../../../src/broker/rabbitmq/consumer.ts';

/** A channel that answers when it is told to; the test is the broker. */
class FakeChannel extends EventEmitter {
  ch = 1;
  readonly connection = { sendBytes: (frames: Buffer): void => void this.written.push(frames) };
  readonly written: Buffer[] = [];
  /** What was asked of it, in order. */
  readonly calls: string[] = [];
  /** Whether replies wait for `reply`. */
  slow = false;
  /** How many consumers the queue has, those included that are cancelled and have unsettled deliveries. */
  consumers = 1;
  /** How many unsettled deliveries its consumers allow, together. */
  allowed = 0;
  /** How many it has sent, as far as the test keeps count. */
  open = 0;
  #next = 0;
  #take: (message: ConsumeMessage | null) => void = () => undefined;
  #replies: (() => void)[] = [];
  #tag = 0;

  prefetch(count: number): Promise<void> {
    this.#next = count;
    return this.#answer(`prefetch ${count}`);
  }

  consume(queue: string, take: (message: ConsumeMessage | null) => void): Promise<void> {
    this.#take = take;
    this.allowed += this.#next;
    return this.#answer(`consume ${queue}`);
  }

  cancel(tag: string): Promise<void> {
    this.allowed = 0;
    return this.#answer(`cancel ${tag.replace(/-\d+$/, '')}`);
  }

  async checkQueue(queue: string): Promise<{ readonly consumerCount: number }> {
    await this.#answer(`count ${queue}`);
    return { consumerCount: this.consumers };
  }

  deliver(bytes: number): void {
    this.open++;
    this.#take({ content: Buffer.alloc(bytes), fields: { deliveryTag: ++this.#tag } } as ConsumeMessage);
  }

  cancelConsumer(): void {
    this.#take(null);
  }

  /** Answers all that waits, and lets what follows from it happen. */
  async reply(): Promise<void> {
    for (const answer of this.#replies.splice(0)) answer();
    await turn();
  }

  #answer(call: string): Promise<void> {
    this.calls.push(call);
    if (!this.slow) return Promise.resolve();
    return new Promise((resolve) => this.#replies.push(resolve));
  }
}

class Rig {
  readonly held: Held[] = [];
  readonly failures: string[] = [];
  readonly consumer: Consumer;

  constructor(options: Partial<ConsumerOptions> = {}) {
    this.consumer = new Consumer(
      { queue: 'orders', prefetch: 100, windowBytes: 1000, maxMessageBytes: 10, tag: 't', ...options },
      {
        received: ({ content, fields: { deliveryTag: tag } }, epoch, subscription) => {
          return { tag, epoch, subscription, bytes: content.length, before: undefined, after: undefined };
        },
        delivered: (held) => this.held.push(held),
        failed: (epoch, why) => this.failures.push(`${epoch}: ${why}`),
      },
    );
  }

  async open(epoch = 1): Promise<FakeChannel> {
    const channel = new FakeChannel();
    const connection = { createChannel: () => Promise.resolve(channel) } as unknown as ChannelModel;
    await this.consumer.open(connection, epoch);
    return channel;
  }

  ack(count = 1): void {
    for (const held of this.held.splice(0, count)) assert.equal(this.consumer.ack(held), true);
  }

  get window(): string {
    return `${this.consumer.unsettled} of ${this.consumer.unsettledBytes} bytes`;
  }
}

test('it consumes with its prefetch, and counts what is unsettled', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  assert.deepEqual(channel.calls, ['prefetch 75', 'consume orders']);
  channel.deliver(10);
  channel.deliver(20);
  assert.equal(rig.window, '2 of 30 bytes');
  rig.ack();
  assert.equal(rig.window, '1 of 20 bytes');
  await rig.consumer.settle();
  assert.equal(channel.written.length, 1);
});

test('it tells how many can be in hand, by the size of what is', async () => {
  const rig = new Rig({ maxMessageBytes: 1 });
  assert.equal(rig.consumer.capacity, 100, 'nothing has come: the prefetch');
  const channel = await rig.open();
  channel.deliver(50);
  assert.equal(rig.consumer.capacity, 15, 'three quarters of 1,000 bytes');
  for (let i = 0; i < 200; i++) channel.deliver(2);
  assert.equal(rig.consumer.capacity, 100, 'those that are here are small');
});

test('a delivery of a channel that is gone cannot be acked on the next one', async () => {
  const rig = new Rig();
  const first = await rig.open(1);
  first.deliver(10);
  rig.consumer.closed(1);
  assert.equal(rig.window, '0 of 0 bytes');
  const second = await rig.open(2);
  second.deliver(10);
  rig.consumer.closed(1); // told late
  const [old, current] = rig.held as [Held, Held];
  assert.equal(rig.consumer.ack(old), false);
  assert.deepEqual([rig.consumer.isCurrent(1), rig.consumer.isCurrent(2)], [false, true]);
  assert.equal(rig.consumer.ack(current), true);
  await rig.consumer.settle();
  assert.deepEqual([first.written.length, second.written.length], [0, 1]);
});

test('a full window stops the consumer, and it goes on when a quarter is free, with a prefetch that fits', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  for (let i = 0; i < 5; i++) channel.deliver(250);
  assert.deepEqual(channel.calls.splice(0), ['prefetch 75', 'consume orders', 'cancel t']);
  await turn();
  rig.ack();
  assert.deepEqual(channel.calls, [], '1000 bytes are in hand');
  rig.ack();
  assert.deepEqual(channel.calls, ['prefetch 1'], '750 bytes are in hand');
  await turn();
  assert.deepEqual(channel.calls.splice(0), ['prefetch 1', 'consume orders']);
  channel.deliver(250);
  rig.consumer.wantMore();
  await turn();
  assert.deepEqual(channel.calls, [], 'the window is full, and not exceeded');
  for (let i = 0; i < 3; i++) rig.ack();
  rig.consumer.wantMore();
  await turn();
  assert.deepEqual(channel.calls, ['prefetch 2', 'consume orders'], 'those of before the cancel are gone');
});

test('one message larger than the window is taken, alone', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  channel.deliver(5000);
  await turn();
  rig.ack();
  await turn();
  assert.deepEqual(channel.calls.slice(2), ['cancel t', 'prefetch 1', 'consume orders']);
});

/** Delivers until the prefetch is used up, wanting more each time, as the dispatcher does when nothing else is startable. */
async function fill(rig: Rig, channel: FakeChannel, bytes: number, most: number): Promise<void> {
  for (let i = 0; i < most && rig.consumer.unsettled < channel.allowed; i++) {
    channel.deliver(bytes);
    rig.consumer.wantMore();
    await turn();
  }
}

test('consumers are added when more is wanted and fits, by the size of those that came, and none is cancelled', async () => {
  const rig = new Rig({ prefetch: 1000, windowBytes: 4000, maxMessageBytes: 1000 });
  const channel = await rig.open();
  assert.deepEqual(channel.calls, ['prefetch 3', 'consume orders']);
  await fill(rig, channel, 10, 1000);
  assert.deepEqual(
    channel.calls.filter((call) => call !== 'consume orders'),
    ['prefetch 3', 'prefetch 9', 'prefetch 36', 'prefetch 144', 'prefetch 108'],
  );
  assert.equal(rig.window, `${(4000 * 0.75) / 10} of 3000 bytes`);
});

test('a large prefetch is spread over channels, and what is in hand is acked on the channel that it came on', async () => {
  const rig = new Rig({ prefetch: 2000, windowBytes: 2 ** 20 });
  const channels: FakeChannel[] = [];
  const connection = {
    createChannel: () => {
      const channel = new FakeChannel();
      channel.ch = channels.push(channel);
      return Promise.resolve(channel);
    },
  } as unknown as ChannelModel;
  await rig.consumer.open(connection, 1);
  assert.deepEqual(
    channels.map(({ allowed }) => allowed),
    [500, 500, 500, 500],
  );
  const [first, , third] = channels as [FakeChannel, FakeChannel, FakeChannel];
  first.deliver(10);
  third.deliver(10);
  third.deliver(10);
  rig.ack(3);
  await rig.consumer.settle();
  const frames = Buffer.concat(channels.flatMap(({ written }) => written));
  const acked = [0, 21].map((at) => [frames.readUInt16BE(at + 1), Number(frames.readBigUInt64BE(at + 11))]);
  assert.deepEqual(
    [acked, frames.length],
    [
      [
        [1, 1],
        [3, 2],
      ],
      42,
    ],
  );
  first.consumers = 5; // one is another's
  await rig.consumer.stop();
  assert.deepEqual(
    channels.map(({ allowed }) => allowed),
    [0, 0, 0, 0],
  );
  channels[3]?.emit('error', new Error('PRECONDITION_FAILED'));
  channels[3]?.emit('close');
  await turn();
  assert.deepEqual(rig.failures, ['1: PRECONDITION_FAILED']);
});

/** A connection whose channels are all kept, and filled one after the other. */
class FakeConnection {
  readonly channels: FakeChannel[] = [];

  createChannel(): Promise<FakeChannel> {
    const channel = new FakeChannel();
    channel.ch = this.channels.push(channel);
    return Promise.resolve(channel);
  }

  get allowed(): number {
    return this.channels.reduce((sum, { allowed }) => sum + allowed, 0);
  }

  /** Sends all that may come, and lets more come as long as it fits. */
  async fill(rig: Rig, bytes: () => number): Promise<void> {
    for (let before = -1; before !== this.allowed; ) {
      before = this.allowed;
      while (rig.consumer.unsettled < this.allowed) {
        const channel = this.channels.find(({ open, allowed }) => open < allowed) as FakeChannel;
        channel.deliver(bytes());
      }
      rig.consumer.wantMore();
      for (let step = 0; step < 10; step++) await turn();
    }
  }
}

test('by default up to 30,000 come over 61 channels, and a new connection begins with a third of them', async () => {
  const rig = new Rig({ prefetch: 30_000, windowBytes: 2 ** 28, maxMessageBytes: 2 ** 20 });
  const connection = new FakeConnection();
  await rig.consumer.open(connection as unknown as ChannelModel, 1);
  assert.equal(connection.allowed, 192);
  await connection.fill(rig, () => 1);
  assert.deepEqual([connection.allowed, connection.channels.length], [30_000, 61]);
  rig.consumer.closed(1);
  const next = new FakeConnection();
  await rig.consumer.open(next as unknown as ChannelModel, 2);
  assert.deepEqual([next.allowed, next.channels.length], [10_000, 20]);
});

test('the last step to what is asked for may be a small one', async () => {
  const rig = new Rig({ prefetch: 11_000, windowBytes: 2 ** 28, maxMessageBytes: 1 });
  const connection = new FakeConnection();
  await rig.consumer.open(connection as unknown as ChannelModel, 1);
  assert.equal(connection.allowed, 10_000);
  await connection.fill(rig, () => 1);
  assert.equal(connection.allowed, 11_000);
});

test('capacity is no more than may come, where so little more would fit that nothing is added', async () => {
  const rig = new Rig({ prefetch: 60_000, windowBytes: 2 ** 28, maxMessageBytes: 2 ** 20 });
  const connection = new FakeConnection();
  await rig.consumer.open(connection as unknown as ChannelModel, 1);
  const size = Math.floor((0.75 * 2 ** 28) / (12_288 * 1.2));
  const all = (): void => {
    for (const channel of connection.channels) channel.open = 0;
    rig.ack(rig.held.length);
  };
  await connection.fill(rig, () => size);
  assert.deepEqual([connection.allowed, rig.consumer.unsettled], [12_288, 12_288], 'four times what it was, so far');
  assert.equal(rig.consumer.capacity, 12_288, 'a fifth more would fit, and does not come');
  all();
  await connection.fill(rig, () => 1000);
  assert.deepEqual([connection.allowed, rig.consumer.capacity], [60_000, 60_000], 'it grows when they are small again');
  all();
  await connection.fill(rig, () => size / 1.1);
  assert.ok(
    rig.consumer.capacity < 20_000,
    `${rig.consumer.capacity}: large ones do not fit in what small ones grew to`,
  );
});

test('sizes that vary do not make it open channel after channel', async () => {
  const rig = new Rig({ prefetch: 60_000, windowBytes: 2 ** 22, maxMessageBytes: 2 ** 16 });
  const connection = new FakeConnection();
  await rig.consumer.open(connection as unknown as ChannelModel, 1);
  let sent = 0;
  // Those in hand are a little smaller each time.
  const size = (): number => 3_000 - ++sent / 20;
  for (let round = 0; round < 20; round++) {
    await connection.fill(rig, size);
    for (const channel of connection.channels) channel.open = 0;
    rig.ack(rig.held.length);
  }
  assert.ok(sent > 10_000);
  assert.ok(connection.channels.length < 30, `${connection.channels.length} channels for ${connection.allowed} orders`);
});

test('no consumer is added while no more is wanted, or before all that may come is here', async () => {
  const rig = new Rig({ prefetch: 1000, windowBytes: 4000, maxMessageBytes: 1000 });
  const channel = await rig.open();
  channel.deliver(10);
  rig.consumer.wantMore();
  for (let i = 0; i < 2; i++) channel.deliver(10);
  await turn();
  assert.equal(channel.allowed, 3);
  rig.consumer.wantMore();
  await turn();
  assert.equal(channel.allowed, 12);
});

test('what is wanted while a change is under way is remembered', async () => {
  const rig = new Rig({ prefetch: 1000, windowBytes: 4000, maxMessageBytes: 1000 });
  const channel = await rig.open();
  for (let i = 0; i < 3; i++) channel.deliver(10);
  channel.slow = true;
  rig.consumer.wantMore();
  await channel.reply(); // the prefetch; deliveries can come in the same packet as the answer to the consume
  for (let i = 0; i < 9; i++) channel.deliver(10);
  rig.consumer.wantMore();
  channel.slow = false;
  await channel.reply();
  await turn();
  assert.equal(channel.allowed, 48);
});

test('when the large messages are through, the prefetch grows again', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  for (let i = 0; i < 3; i++) channel.deliver(500);
  await turn();
  rig.ack(2);
  await turn();
  assert.deepEqual(channel.calls.slice(2), ['cancel t', 'prefetch 1', 'consume orders']);
  rig.ack();
  await fill(rig, channel, 1, 500);
  assert.equal(channel.allowed, 100);
  assert.equal(channel.calls.filter((call) => call === 'cancel t').length, 1);
});

test('it goes on when all was settled before the broker had answered the cancel', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  channel.slow = true;
  channel.deliver(5000);
  assert.deepEqual(channel.calls.splice(0), ['prefetch 75', 'consume orders', 'cancel t']);
  rig.ack();
  channel.slow = false;
  await channel.reply();
  assert.deepEqual(channel.calls, ['prefetch 1', 'consume orders'], 'nothing will ever be consumed again');
});

test('a consumer that the broker cancels, a channel that closes and a callback that throws are told with their epoch', async () => {
  const rig = new Rig();
  const channel = await rig.open(3);
  channel.cancelConsumer();
  channel.emit('handler-error', new Error('oops'));
  channel.emit('error', new Error('PRECONDITION_FAILED'));
  channel.emit('close');
  await turn();
  assert.deepEqual(rig.failures, [
    '3: the broker cancelled the consumer (was the queue deleted?)',
    '3: oops',
    '3: PRECONDITION_FAILED',
  ]);
});

test('a stop takes no more, and what is in hand can still be acked', async () => {
  const rig = new Rig();
  await rig.consumer.stop(); // before it was opened
  const other = new Rig();
  const channel = await other.open();
  channel.deliver(900);
  channel.deliver(900);
  await turn();
  await other.consumer.stop();
  await other.consumer.stop();
  other.ack(2);
  await turn();
  assert.equal(channel.calls.filter((call) => call === 'cancel t').length, 1);
});

test('after a stop the connection may end when the queue has taken in the last acks', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  channel.consumers = 3; // two are others'
  channel.deliver(10);
  await rig.consumer.stop();
  rig.ack();
  let settled = false;
  channel.slow = true;
  const settling = rig.consumer.settle().then(() => {
    settled = true;
  });
  await turn();
  assert.equal(channel.written.length, 1);
  await channel.reply();
  assert.equal(settled, false);
  channel.consumers = 2;
  channel.slow = false;
  await channel.reply();
  await settling;
  assert.ok(settled);
});

test('a consumer that was not stopped writes its acks and does not wait for the queue', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  channel.deliver(10);
  rig.ack();
  await rig.consumer.settle();
  assert.equal(channel.written.length, 1);
  assert.deepEqual(channel.calls, ['prefetch 75', 'consume orders']);
});

test('a stop while the consumer is being started resolves when it has been cancelled', async () => {
  const rig = new Rig();
  const channel = new FakeChannel();
  channel.slow = true;
  const opening = rig.consumer.open({ createChannel: () => Promise.resolve(channel) } as unknown as ChannelModel, 1);
  await turn();
  await channel.reply(); // the prefetch
  let stopped = false;
  const stopping = rig.consumer.stop().then(() => {
    stopped = true;
  });
  await channel.reply(); // the consume
  await channel.reply(); // the count
  const early = stopped;
  await channel.reply(); // the cancel
  await Promise.all([opening, stopping]);
  assert.deepEqual(channel.calls, ['prefetch 75', 'consume orders', 'count orders', 'cancel t']);
  assert.equal(early, false, 'the broker might still have sent');
});

test('a consumer that was stopped is not started on the next connection', async () => {
  const rig = new Rig();
  await rig.open(1);
  await rig.consumer.stop();
  rig.consumer.closed(1);
  assert.deepEqual((await rig.open(2)).calls, []);
});

test('what is left of cancelled consumers counts against the prefetch: no more is ever in hand', async () => {
  const rig = new Rig({ prefetch: 20 });
  const channel = await rig.open();
  for (let i = 0; i < 15; i++) channel.deliver(1);
  channel.deliver(1000);
  await turn();
  rig.consumer.ack(rig.held.pop() as Held); // the large one; twelve of their mean size would fit now
  await turn();
  assert.deepEqual([rig.consumer.unsettled, channel.allowed], [15, 5]);
  for (let i = 0; i < 5; i++) channel.deliver(1);
  rig.consumer.wantMore();
  await turn();
  assert.equal(channel.allowed, 5);
  rig.ack(15); // what was left
  rig.consumer.wantMore();
  await turn();
  assert.equal(channel.allowed, 20);
});

test('a stop while the window is full waits for the last acks as well', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  channel.consumers = 2; // one is another's
  channel.deliver(5000);
  await turn();
  await rig.consumer.stop();
  rig.ack();
  const settling = rig.consumer.settle();
  await turn();
  const counts = channel.calls.filter((call) => call === 'count orders').length;
  channel.consumers = 1;
  await settling;
  assert.ok(counts >= 2, 'the broker was not asked');
});

test('a stop that cannot count the consumers of the queue cancels its own all the same', async () => {
  const rig = new Rig();
  const channel = await rig.open();
  channel.checkQueue = () => Promise.reject(new Error('the queue has no leader'));
  await assert.rejects(rig.consumer.stop(), /no leader/);
  assert.equal(channel.allowed, 0);
});
