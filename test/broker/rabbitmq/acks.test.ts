import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AckWindow, AckWriter, type Unacked } from '../../../src/broker/rabbitmq/acks.ts';

const CHANNEL = 7;

// How amqplib itself would encode the same method.
const amqplib = createRequire(import.meta.resolve('amqplib'))('./lib/defs.js') as {
  readonly BasicAck: number;
  encodeMethod(method: number, channel: number, fields: object): Buffer;
};

interface Ack {
  readonly tag: number;
  readonly multiple: boolean;
}

/** Takes the frames apart, each compared byte for byte with what amqplib makes of its fields. */
function decoded(frames: Buffer, channel = CHANNEL): Ack[] {
  const acks: Ack[] = [];
  for (let at = 0; at < frames.length; at += 21) {
    const frame = frames.subarray(at, at + 21);
    const tag = Number(frame.readBigUInt64BE(11));
    const multiple = frame[19] === 1;
    assert.deepEqual(
      frame,
      amqplib.encodeMethod(amqplib.BasicAck, channel, { deliveryTag: tag, multiple }),
      'not a basic.ack frame',
    );
    acks.push({ tag, multiple });
  }
  return acks;
}

/** RabbitMQ's side: a tag that is not outstanding, with or without `multiple`, closes the channel. */
class BrokerChannel {
  readonly writer: AckWriter;
  readonly window: AckWindow;
  readonly outstanding = new Set<number>();
  readonly writes: Ack[][] = [];
  readonly events = new EventEmitter();
  #delivered = 0;

  constructor() {
    this.writer = new AckWriter((frames) => this.#take(decoded(frames)));
    this.window = this.writer.window(CHANNEL);
  }

  deliver(): Unacked {
    const delivery: Unacked = { tag: ++this.#delivered, before: undefined, after: undefined };
    this.outstanding.add(delivery.tag);
    this.window.add(delivery);
    return delivery;
  }

  #take(acks: Ack[]): void {
    this.writes.push(acks);
    this.events.emit('write');
    for (const { tag, multiple } of acks) {
      assert.ok(this.outstanding.has(tag), `PRECONDITION_FAILED - unknown delivery tag ${tag}`);
      for (const each of this.outstanding) if (each === tag || (multiple && each < tag)) this.outstanding.delete(each);
    }
  }
}

test('an ack is a basic.ack frame of AMQP 0-9-1, for tags of any size', () => {
  for (const tag of [1, 255, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const written: Buffer[] = [];
    const writer = new AckWriter((frames) => written.push(frames));
    const window = writer.window(CHANNEL);
    const older: Unacked = { tag: 0, before: undefined, after: undefined };
    const delivery: Unacked = { tag, before: undefined, after: undefined };
    window.add(older);
    window.add(delivery);
    window.ack(delivery);
    writer.flush();
    assert.deepEqual(decoded(Buffer.concat(written)), [{ tag, multiple: false }]);
  }
  const written: Buffer[] = [];
  const writer = new AckWriter((frames) => written.push(frames));
  const window = writer.window(CHANNEL);
  const delivery: Unacked = { tag: 258, before: undefined, after: undefined };
  window.add(delivery);
  window.ack(delivery);
  writer.flush();
  assert.equal(
    Buffer.concat(written).toString('hex'),
    '01' + '0007' + '0000000d' + '003c' + '0050' + '0000000000000102' + '01' + 'ce',
  );
});

test('acks that fall due together leave soon, by themselves and in one write', async () => {
  const channel = new BrokerChannel();
  const [a, b, c, d] = [channel.deliver(), channel.deliver(), channel.deliver(), channel.deliver()];
  channel.window.ack(d);
  channel.window.ack(a);
  channel.window.ack(b);
  assert.deepEqual(channel.writes, []);
  await once(channel.events, 'write');
  channel.window.ack(c);
  await once(channel.events, 'write');
  channel.writer.flush();
  assert.deepEqual(channel.writes, [
    [
      { tag: 2, multiple: true },
      { tag: 4, multiple: false },
    ],
    [{ tag: 3, multiple: true }],
  ]);
});

test('the acks of all channels leave in one write, each with its own channel and its own tags', () => {
  const written: Buffer[] = [];
  const writer = new AckWriter((frames) => written.push(frames));
  const [one, two, idle] = [writer.window(1), writer.window(300), writer.window(3)];
  const deliver = (window: AckWindow, tag: number): Unacked => {
    const delivery: Unacked = { tag, before: undefined, after: undefined };
    window.add(delivery);
    return delivery;
  };
  deliver(one, 1); // stays
  const acked = [deliver(one, 2), deliver(one, 3)];
  const others = [deliver(two, 1), deliver(two, 2)];
  deliver(idle, 1);
  one.ack(acked[1] as Unacked);
  for (const each of others) two.ack(each);
  one.ack(acked[0] as Unacked);
  writer.flush();
  writer.flush();
  assert.equal(written.length, 1);
  const [frames] = written as [Buffer];
  assert.deepEqual(decoded(frames.subarray(0, 42), 1), [
    { tag: 3, multiple: false },
    { tag: 2, multiple: false },
  ]);
  assert.deepEqual(decoded(frames.subarray(42), 300), [{ tag: 2, multiple: true }]);
});

test('an old call that hangs holds back no newer ack', () => {
  const channel = new BrokerChannel();
  const [old, ...newer] = Array.from({ length: 200 }, () => channel.deliver()) as [Unacked, ...Unacked[]];
  for (const each of newer) channel.window.ack(each);
  channel.writer.flush();
  assert.deepEqual([...channel.outstanding], [old.tag]);
  assert.ok(channel.writes.flat().every(({ multiple }) => !multiple));
  channel.window.ack(old);
  channel.writer.flush();
  assert.equal(channel.outstanding.size, 0);
});

test('a run of settled deliveries with nothing unsettled below it is one frame', () => {
  const channel = new BrokerChannel();
  for (const each of Array.from({ length: 1000 }, () => channel.deliver())) channel.window.ack(each);
  channel.writer.flush();
  assert.deepEqual(channel.writes, [[{ tag: 1000, multiple: true }]]);
});

test('in whatever order orders are settled, each delivery is acked once, at the next write, and no other with it', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('deliver' as const), number: fc.nat({ max: 5 }) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('ack' as const), number: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const), number: fc.constant(0) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const channel = new BrokerChannel();
      const unsettled: Unacked[] = [];
      const flush = (): void => {
        channel.writer.flush();
        assert.deepEqual(
          [...channel.outstanding],
          unsettled.map(({ tag }) => tag),
        );
      };
      for (const { kind, number } of steps) {
        if (kind === 'deliver') for (let i = 0; i < number; i++) unsettled.push(channel.deliver());
        else if (kind === 'flush') flush();
        else if (unsettled.length > 0) {
          const [settled] = unsettled.splice(number % unsettled.length, 1);
          channel.window.ack(settled as Unacked);
        }
      }
      flush();
      for (const each of unsettled.splice(0)) channel.window.ack(each);
      flush();
    }),
    { numRuns: 500 },
  );
});
