import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Waiting } from '../helpers/waiting.ts';
import { basicCancel, consumerOf, FrameReader, kindOf } from './amqp-frames.ts';
import { type Action, AmqpProxy, type Frame } from './amqp-proxy.ts';

const HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1');

/** A frame of a type with a payload, on channel 1. */
function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.from([type, 0, 1, 0, 0, 0, 0]);
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([0xce])]);
}

function method(classId: number, methodId: number, rest = ''): Buffer {
  return frame(1, Buffer.concat([Buffer.from([0, classId, 0, methodId]), Buffer.from(rest)]));
}

const PUBLISH = method(60, 40, 'where to');
const BODY = frame(3, Buffer.from('a body with \xce in it', 'latin1'));
const HEARTBEAT = frame(8, Buffer.alloc(0));

/** One end of a conversation: what it has heard, to be waited for. */
class End {
  heard: Buffer = Buffer.alloc(0);
  closed = false;
  readonly socket: Socket;
  readonly #waiting = new Waiting();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.heard = Buffer.concat([this.heard, chunk]);
      this.#waiting.changed();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#waiting.changed();
    });
  }

  async hears(expected: Buffer): Promise<void> {
    await this.#waiting.until(`${expected.length} bytes`, () => this.heard.length >= expected.length);
    assert.deepEqual(this.heard, expected);
  }

  async isClosed(): Promise<void> {
    await this.#waiting.until('the end of the connection', () => this.closed);
  }
}

/** A client and a broker that speak through a proxy. */
async function conversation(t: TestContext, policy: (frame: Frame) => Action) {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await AmqpProxy.start((server.address() as AddressInfo).port);
  proxy.policy = policy;
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = new End(connect(proxy.port, '127.0.0.1'));
  const [socket] = await accepted;
  t.after(() => {
    proxy.stop();
    client.socket.destroy();
    socket.destroy();
    server.close();
  });
  return { proxy, client, broker: new End(socket) };
}

test('frames are found wherever the chunks of a stream begin and end', () => {
  const stream = Buffer.concat([HEADER, PUBLISH, BODY, HEARTBEAT]);
  for (const size of [1, 3, 8, stream.length]) {
    const reader = new FrameReader('client');
    const frames: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size) frames.push(...reader.read(stream.subarray(at, at + size)));
    assert.deepEqual(frames, [HEADER, PUBLISH, BODY, HEARTBEAT]);
    assert.deepEqual(frames.map(kindOf), ['protocol', 'basic.publish', 'body', 'heartbeat']);
  }
});

test('what is not AMQP is an error that shows it', () => {
  const reader = new FrameReader('broker');
  assert.throws(() => [...reader.read(Buffer.from('HTTP/1.1 400'))], /expected a frame of AMQP 0-9-1, got 485454502f/);
});

test('a cancellation names the consumer', () => {
  const frames = [...new FrameReader('broker').read(basicCancel(7, 'orderlane-1'))];
  assert.deepEqual(frames.map(kindOf), ['basic.cancel']);
  assert.deepEqual(consumerOf(frames[0] as Buffer), { channel: 7, tag: 'orderlane-1' });
});

test('everything passes both ways, with its number on its side', async (t) => {
  const seen: string[] = [];
  const { client, broker } = await conversation(t, ({ from, number, kind }) => {
    seen.push(`${from} ${number} ${kind}`);
    return 'pass';
  });
  client.socket.write(Buffer.concat([HEADER, PUBLISH, BODY]));
  await broker.hears(Buffer.concat([HEADER, PUBLISH, BODY]));
  broker.socket.write(HEARTBEAT);
  await client.hears(HEARTBEAT);
  assert.deepEqual(seen, ['client 1 protocol', 'client 2 basic.publish', 'client 3 body', 'broker 1 heartbeat']);
});

for (const [action, passed] of [
  ['cut-before', HEADER],
  ['cut-within', Buffer.concat([HEADER, PUBLISH.subarray(0, PUBLISH.length >> 1)])],
  ['cut-after', Buffer.concat([HEADER, PUBLISH])],
] as const) {
  test(`${action} ends both sides there`, async (t) => {
    const { client, broker, proxy } = await conversation(t, ({ number }) => (number === 2 ? action : 'pass'));
    client.socket.write(HEADER);
    await broker.hears(HEADER);
    client.socket.write(Buffer.concat([PUBLISH, BODY]));
    await Promise.all([client.isClosed(), broker.isClosed()]);
    assert.deepEqual(broker.heard, passed);
    assert.equal(proxy.struck, 1);
  });
}

test('in a black hole everything vanishes both ways, and the sockets stay open', async (t) => {
  const { client, broker, proxy } = await conversation(t, ({ kind }) => (kind === 'body' ? 'black-hole' : 'pass'));
  client.socket.write(Buffer.concat([HEADER, PUBLISH, BODY]));
  await proxy.until('the body', () => proxy.struck === 1);
  await broker.hears(Buffer.concat([HEADER, PUBLISH]));
  broker.socket.write(HEARTBEAT);
  client.socket.destroy();
  await client.isClosed();
  assert.deepEqual([client.heard.length, broker.heard.length, broker.closed], [0, 8 + PUBLISH.length, false]);
});

test('what is behind a delayed frame waits for it', async (t) => {
  const { client, broker } = await conversation(t, ({ kind }) => (kind === 'basic.publish' ? { delayMs: 50 } : 'pass'));
  client.socket.write(Buffer.concat([HEADER, PUBLISH, BODY]));
  await broker.hears(Buffer.concat([HEADER, PUBLISH, BODY]));
});
