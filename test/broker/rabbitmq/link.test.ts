import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { ChannelModel } from 'amqplib';
import { Link, redacted } from '../../../src/broker/rabbitmq/link.ts';
import { OrderlaneError } from '../../../src/errors.ts';

type Methods = Readonly<
  Record<'ConnectionStart' | 'ConnectionTune' | 'ConnectionOpenOk' | 'ConnectionClose' | 'ConnectionCloseOk', number>
>;
const amqp = createRequire(import.meta.resolve('amqplib'))('./lib/defs.js') as Methods & {
  encodeMethod(method: number, channel: number, fields: object): Buffer;
};
const CONNECTION_START_OK = (10 << 16) | 11;
const CONNECTION_OPEN = (10 << 16) | 40;
const CONNECTION_CLOSE = (10 << 16) | 50;

/** A listener that takes part in AMQP's handshake and its good-bye, and no further. */
class Handshaker {
  readonly sockets = new Set<Socket>();
  /** Answers the login with this code and text instead. */
  refusal: { readonly replyCode: number; readonly replyText: string } | undefined;
  readonly #server: Server = createServer((socket) => this.#accept(socket));

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `amqp://guest:secret@127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.cut();
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  #accept(socket: Socket): void {
    this.sockets.add(socket);
    let received: Buffer = Buffer.alloc(0);
    const send = (method: number, fields: object): void => void socket.write(amqp.encodeMethod(method, 0, fields));
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data]);
      if (received.subarray(0, 4).toString() === 'AMQP') {
        received = received.subarray(8);
        const lists = { mechanisms: Buffer.from('PLAIN'), locales: Buffer.from('en_US') };
        send(amqp.ConnectionStart, { versionMajor: 0, versionMinor: 9, serverProperties: {}, ...lists });
      }
      while (received.length >= 8 && received.length >= 8 + received.readUInt32BE(3)) {
        const frame = received.subarray(0, 8 + received.readUInt32BE(3));
        received = received.subarray(frame.length);
        if (frame[0] !== 1) continue; // a heartbeat
        this.#answer(frame.readUInt32BE(7), send);
      }
    });
  }

  #answer(method: number, send: (method: number, fields: object) => void): void {
    if (method === CONNECTION_START_OK) {
      if (this.refusal === undefined) send(amqp.ConnectionTune, { channelMax: 0, frameMax: 131_072, heartbeat: 0 });
      else send(amqp.ConnectionClose, { ...this.refusal, classId: 0, methodId: 0 });
    } else if (method === CONNECTION_OPEN) send(amqp.ConnectionOpenOk, {});
    else if (method === CONNECTION_CLOSE) send(amqp.ConnectionCloseOk, {});
  }
}

/** A link, what it tells, and what opening it does. */
class Rig extends EventEmitter {
  readonly told: string[] = [];
  readonly link: Link;
  opening: (epoch: number, connection: ChannelModel) => Promise<void> | void = () => undefined;

  constructor(urls: readonly string[]) {
    super();
    this.link = new Link(
      'test',
      { urls },
      {
        open: async (connection, epoch) => {
          this.#tell(`open ${epoch}`);
          await this.opening(epoch, connection);
        },
        lost: (epoch) => this.#tell(`lost ${epoch}`),
        warn: () => undefined,
        info: (_fields, message) => this.#tell(message),
      },
    );
  }

  /** Ends with the test, before its brokers do. */
  static async of(t: TestContext, ...brokers: Handshaker[]): Promise<Rig> {
    const rig = new Rig(await Promise.all(brokers.map((broker) => broker.listen())));
    t.after(async () => {
      await rig.link.stop();
      for (const broker of brokers) broker.close();
    });
    return rig;
  }

  async heard(what: string): Promise<void> {
    while (!this.told.includes(what)) await once(this, 'told');
  }

  #tell(what: string): void {
    this.told.push(what);
    this.emit('told');
  }
}

async function refusal(starting: Promise<void>): Promise<OrderlaneError> {
  try {
    await starting;
  } catch (error) {
    assert.ok(error instanceof OrderlaneError, String(error));
    return error;
  }
  throw new Error('it was not refused');
}

test('a link is open when its setup is done, and closed when it was stopped', async (t) => {
  const broker = new Handshaker();
  const rig = await Rig.of(t, broker);
  rig.opening = () => assert.equal(rig.link.isOpen, false);
  await rig.link.start(1000);
  assert.equal(rig.link.isOpen, true);
  await rig.link.stop();
  await rig.link.stop();
  assert.equal(rig.link.isOpen, false);
  assert.deepEqual(rig.told, ['open 1']);
});

test('a link may be stopped before it was started', async () => {
  await new Rig(['amqp://127.0.0.1:1']).link.stop();
});

test('a lost connection is told with its epoch, and the next one set up with another', async (t) => {
  const broker = new Handshaker();
  const rig = await Rig.of(t, broker);
  await rig.link.start(1000);
  broker.cut();
  await rig.heard('test connection is back');
  assert.deepEqual(rig.told, ['open 1', 'lost 1', 'open 2', 'test connection is back']);
  assert.equal(rig.link.isOpen, true);
  rig.link.fail(1, 'told late'); // about a connection that is gone
  assert.equal(rig.link.isOpen, true);
});

test('a connection that somebody cannot use any more is dropped, and replaced', async (t) => {
  const broker = new Handshaker();
  const rig = await Rig.of(t, broker);
  await rig.link.start(1000);
  rig.link.fail(1, 'the broker cancelled the consumer');
  assert.deepEqual(rig.told, ['open 1', 'lost 1']);
  await rig.heard('open 2');
});

test('a setup that fails, or that loses its connection, is started over', async (t) => {
  const broker = new Handshaker();
  const rig = await Rig.of(t, broker);
  rig.opening = async (epoch, connection) => {
    if (epoch === 1) throw new Error('no channel');
    if (epoch !== 2) return;
    broker.cut();
    await once(connection as unknown as EventEmitter, 'close');
  };
  await rig.link.start(10_000);
  assert.deepEqual(
    rig.told.filter((line) => !line.startsWith('waiting')),
    ['open 1', 'lost 1', 'open 2', 'lost 2', 'open 3'],
  );
});

test('a connection that is reported unusable while it is being set up is not taken for a good one', async (t) => {
  const broker = new Handshaker();
  const rig = await Rig.of(t, broker);
  // The consumer is cancelled, or the channel closed, in the same packet that confirms it.
  rig.opening = (epoch) => {
    if (epoch === 1) rig.link.fail(1, 'the broker cancelled the consumer');
  };
  await rig.link.start(10_000);
  assert.ok(rig.told.includes('lost 1'), 'it stays on a connection that consumes nothing');
  await rig.heard('open 2');
});

test('addresses are tried in turn', async (t) => {
  const dead = new Handshaker();
  const alive = new Handshaker();
  dead.refusal = { replyCode: 320, replyText: 'CONNECTION_FORCED - going down' };
  const rig = await Rig.of(t, dead, alive);
  await rig.link.start(10_000);
  assert.deepEqual([dead.sockets.size, alive.sockets.size], [0, 1]);
});

test('a broker that cannot be reached, or that refuses us, is named with what to do, and without its password', async (t) => {
  const unreachable = await refusal(new Rig(['amqp://guest:secret@127.0.0.1:1/vhost']).link.start(0));
  assert.equal(unreachable.code, 'BROKER_UNREACHABLE');
  assert.match(
    unreachable.message,
    /amqp:\/\/guest:\*\*\*@127\.0\.0\.1:1\/vhost within 0 s.*ECONNREFUSED.*--connect-wait/,
  );
  for (const [replyCode, replyText, expected] of [
    [403, 'ACCESS_REFUSED - Login was refused', /refuses the user name or password/],
    [530, "NOT_ALLOWED - vhost 'x' not found", /virtual host/],
  ] as const) {
    const broker = new Handshaker();
    broker.refusal = { replyCode, replyText };
    const { code, message } = await refusal((await Rig.of(t, broker)).link.start(60_000));
    assert.equal(code, 'BROKER_REFUSED');
    assert.match(message, expected);
    assert.doesNotMatch(message, /secret/);
  }
  assert.equal(redacted('not a URL with:secret@'), '(not a URL)');
});
