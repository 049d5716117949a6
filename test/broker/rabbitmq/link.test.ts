import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { ChannelModel } from 'amqplib';
import { type Addresses, Link, redacted } from '../../../src/broker/rabbitmq/link.ts';
import { OrderlaneError } from '../../../src/errors.ts';
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../../merchant/loopback-cert.ts';
import { AUTHORITY, ENCRYPTED_KEY, EXPIRED, GOOD, LEAF_KEY, OTHER_NAME } from './certificates.ts';

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
class Handshaker extends EventEmitter {
  readonly sockets = new Set<Socket>();
  /** Answers the login with this code and text instead. */
  refusal: { readonly replyCode: number; readonly replyText: string } | undefined;
  /** Keeps the last answer of each handshake back, and hands it over. */
  holdBack: ((answer: () => void) => void) | undefined;
  /** Does not answer a good-bye. */
  isRude = false;
  readonly #server: Server | TlsServer;
  readonly #scheme: string;

  /** Behind TLS, if it has a certificate. */
  constructor(identity?: { readonly cert: string; readonly key: string; readonly clients?: string }) {
    super();
    const accept = (socket: Socket): void => this.#accept(socket);
    this.#scheme = identity === undefined ? 'amqp' : 'amqps';
    if (identity === undefined) {
      this.#server = createServer(accept);
    } else {
      const { clients, ...shown } = identity;
      const asking = clients === undefined ? {} : { ca: clients, requestCert: true, rejectUnauthorized: true };
      this.#server = createTlsServer({ ...shown, ...asking }, accept);
      this.#server.on('tlsClientError', () => undefined);
    }
  }

  /** Shows another certificate from now on. */
  show(cert: string, key: string): void {
    (this.#server as TlsServer).setSecureContext({ cert, key });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `${this.#scheme}://guest:secret@127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
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
    } else if (method === CONNECTION_OPEN) {
      const answer = (): void => send(amqp.ConnectionOpenOk, {});
      if (this.holdBack === undefined) answer();
      else this.holdBack(answer);
    } else if (method === CONNECTION_CLOSE) {
      this.emit('goodbye');
      if (!this.isRude) send(amqp.ConnectionCloseOk, {});
    }
  }
}

/** A link, what it tells, and what opening it does. */
class Rig extends EventEmitter {
  readonly told: string[] = [];
  readonly link: Link;
  readonly warnings: string[] = [];
  opening: (epoch: number, connection: ChannelModel) => Promise<void> | void = () => undefined;

  constructor(addresses: Addresses) {
    super();
    this.link = new Link('test', addresses, {
      open: async (connection, epoch) => {
        this.#tell(`open ${epoch}`);
        await this.opening(epoch, connection);
      },
      lost: (epoch) => this.#tell(`lost ${epoch}`),
      warn: (fields, message) => {
        this.warnings.push(`${message}: ${String((fields as { reason?: string }).reason)}`);
        this.emit('told');
      },
      info: (_fields, message) => this.#tell(message),
    });
  }

  /** Ends with the test, before its brokers do. */
  static async of(t: TestContext, ...brokers: Handshaker[]): Promise<Rig> {
    return await Rig.with(t, {}, ...brokers);
  }

  static async with(t: TestContext, files: Omit<Addresses, 'urls'>, ...brokers: Handshaker[]): Promise<Rig> {
    const rig = new Rig({ ...files, urls: await Promise.all(brokers.map((broker) => broker.listen())) });
    t.after(async () => {
      await rig.link.stop();
      for (const broker of brokers) broker.close();
    });
    return rig;
  }

  async heard(what: string): Promise<void> {
    while (!this.told.includes(what)) await once(this, 'told');
  }

  async warned(what: RegExp): Promise<void> {
    while (!this.warnings.some((line) => what.test(line))) await once(this, 'told');
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
  await new Rig({ urls: ['amqp://127.0.0.1:1'] }).link.stop();
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

test('a setup whose connection is lost is started over although what it waits for never comes', {
  timeout: 10_000,
}, async (t) => {
  const broker = new Handshaker();
  const rig = await Rig.of(t, broker);
  rig.opening = async (epoch) => {
    if (epoch > 1) return;
    broker.cut();
    await new Promise(() => undefined); // amqplib's close of a channel whose socket dies first
  };
  await rig.link.start(30_000);
  assert.ok(rig.told.includes('open 2'));
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

test('a connection that comes too late is closed, and does no harm when it is lost in that', async (t) => {
  const broker = new Handshaker();
  const rig = await Rig.of(t, broker);
  broker.isRude = true;
  const held = new Promise<() => void>((resolve) => {
    broker.holdBack = resolve;
  });
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const starting = rig.link.start(1);
  const answer = await held;
  t.mock.timers.tick(1_000);
  assert.match((await refusal(starting)).message, /did not answer a connection attempt within 1000 ms/);
  answer();
  await once(broker, 'goodbye');
  const [socket] = broker.sockets;
  const gone = once(socket as Socket, 'close');
  broker.cut(); // an error that nobody hears would end the process
  await gone;
  await new Promise((resolve) => setImmediate(resolve));
});

test('addresses are tried in turn', async (t) => {
  const dead = new Handshaker();
  const alive = new Handshaker();
  dead.refusal = { replyCode: 320, replyText: 'CONNECTION_FORCED - going down' };
  const rig = await Rig.of(t, dead, alive);
  await rig.link.start(10_000);
  assert.deepEqual([dead.sockets.size, alive.sockets.size], [0, 1]);
});

test('a broker that accepts and never answers is given up when the time to wait is over, and not later', async (t) => {
  const silent = createServer((socket) => t.after(() => socket.destroy())).listen(0, '127.0.0.1');
  t.after(() => silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const { code, message } = await refusal(new Rig({ urls: [`amqp://127.0.0.1:${port}`] }).link.start(50));
  assert.equal(code, 'BROKER_UNREACHABLE');
  assert.match(message, /did not answer a connection attempt within 1000 ms/);
});

test('a broker that cannot be reached, or that refuses us, is named with what to do, and without its password', async (t) => {
  const unreachable = await refusal(new Rig({ urls: ['amqp://guest:secret@127.0.0.1:1/vhost'] }).link.start(0));
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

/** Writes files of these contents, and gives their paths by the same names. */
function files<Name extends string>(t: TestContext, contents: Readonly<Record<Name, string>>): Record<Name, string> {
  const folder = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const paths = {} as Record<Name, string>;
  for (const name of Object.keys(contents) as Name[]) {
    paths[name] = join(folder, `${name}.pem`);
    writeFileSync(paths[name], contents[name]);
  }
  return paths;
}

const SELF_SIGNED = { cert: LOOPBACK_CERT, key: LOOPBACK_KEY };

for (const [what, shown, ca, said] of [
  ['is self-signed', SELF_SIGNED, undefined, /it is self-signed \(DEPTH_ZERO_SELF_SIGNED_CERT\)/],
  [
    'is signed by nobody we know',
    { cert: GOOD, key: LEAF_KEY },
    undefined,
    /an authority that is not trusted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/,
  ],
  [
    'is signed by another authority than ours',
    { cert: GOOD, key: LEAF_KEY },
    LOOPBACK_CERT,
    /an authority that is not trusted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/,
  ],
  [
    'is for another host',
    { cert: OTHER_NAME, key: LEAF_KEY },
    AUTHORITY,
    /it is for DNS:broker\.example, not for 127\.0\.0\.1 \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
  ],
  ['is out of date', { cert: EXPIRED, key: LEAF_KEY }, AUTHORITY, /has expired \(CERT_HAS_EXPIRED\)/],
] as const) {
  test(`a broker whose certificate ${what} is not tried again at start`, async (t) => {
    const rig = await Rig.with(t, ca === undefined ? {} : files(t, { ca }), new Handshaker(shown));
    const { code, message } = await refusal(rig.link.start(5_000));
    assert.equal(code, 'USAGE');
    assert.match(message, /^the certificate of the broker at amqps:\/\/127\.0\.0\.1:\d+ is not trusted: /);
    assert.match(message, said);
    assert.match(message, /--broker-ca FILE gives/);
    assert.doesNotMatch(message, /secret|guest/);
    assert.deepEqual(rig.told, []);
  });
}

test('a broker that is not trusted is passed over, with a warning, for one at another address that is', async (t) => {
  const [bad, good] = [new Handshaker({ cert: EXPIRED, key: LEAF_KEY }), new Handshaker({ cert: GOOD, key: LEAF_KEY })];
  const rig = await Rig.with(t, files(t, { ca: AUTHORITY }), bad, good);
  await rig.link.start(0);
  assert.equal(rig.link.isOpen, true);
  assert.match(rig.warnings.join('\n'), /^an address of the broker is passed over: .*has expired[^\n]*$/);
});

test('when the one address is not trusted and the other one silent, both are named in the end', async (t) => {
  const bad = new Handshaker(SELF_SIGNED);
  t.after(() => bad.close());
  const { link } = new Rig({ urls: [await bad.listen(), 'amqps://127.0.0.1:1'] });
  const { code, message } = await refusal(link.start(0));
  assert.equal(code, 'BROKER_UNREACHABLE');
  assert.match(message, /self-signed.*ECONNREFUSED/);
});

test('a port that speaks HTTP, as the management API does, is said to be no AMQP', async (t) => {
  const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'));
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  t.after(() => web.close());
  const { link } = new Rig({ urls: [`amqp://127.0.0.1:${(web.address() as AddressInfo).port}`] });
  const { message } = await refusal(link.start(0));
  assert.match(message, /within 0 s: what answers there does not speak AMQP, whose ports are usually 5672/);
});

test('a port that does not speak TLS is named in one line without the place in OpenSSL that says so', async (t) => {
  const plain = createServer((socket) => socket.end('AMQP\0\0\u0009\u0001'));
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  t.after(() => plain.close());
  const { link } = new Rig({ urls: [`amqps://127.0.0.1:${(plain.address() as AddressInfo).port}`] });
  const { code, message } = await refusal(link.start(0));
  assert.equal(code, 'BROKER_UNREACHABLE');
  assert.match(message, /within 0 s: no TLS connection: wrong version number \(ERR_SSL_WRONG_VERSION_NUMBER\)\. Check/);
});

test('a broker that is no longer trusted while we run is tried again, saying why, until it is', {
  timeout: 30_000,
}, async (t) => {
  const broker = new Handshaker({ cert: GOOD, key: LEAF_KEY });
  const rig = await Rig.with(t, files(t, { ca: AUTHORITY }), broker);
  await rig.link.start(0);
  broker.show(EXPIRED, LEAF_KEY);
  broker.cut();
  await rig.warned(/^test connection lost; reconnecting: the certificate of the broker at .* has expired/);
  broker.show(GOOD, LEAF_KEY);
  await rig.heard('test connection is back');
});

test('certificates and keys that are of no use are refused at once, each with its option and file', async (t) => {
  const contents = {
    ca: AUTHORITY,
    cert: GOOD,
    key: LEAF_KEY,
    junk: 'not PEM',
    anotherKey: LOOPBACK_KEY,
    encrypted: ENCRYPTED_KEY,
  };
  const { ca, cert, key, junk, anotherKey, encrypted } = files(t, contents);
  for (const [given, file, expected] of [
    [{ ca: `${ca}.gone` }, `${ca}.gone`, /^--broker-ca: .* cannot be read: ENOENT/],
    [{ ca: junk }, junk, /^--broker-ca: expected a PEM certificate in /],
    [{ ca: key }, key, /^--broker-ca: expected a PEM certificate in /],
    [{ cert: junk, key }, junk, /^--broker-cert: expected a PEM certificate in /],
    [{ cert: `${cert}.gone`, key }, `${cert}.gone`, /^--broker-cert: .* cannot be read: ENOENT/],
    [{ cert, key: `${key}.gone` }, `${key}.gone`, /^--broker-key: .* cannot be read: ENOENT/],
    [{ cert, key: junk }, junk, /^--broker-key: expected a PEM private key .* got a file without one/],
    [
      { cert, key: encrypted },
      encrypted,
      /^--broker-key: expected .* without a passphrase in .* got one that is encrypted$/,
    ],
    [
      { cert, key: anotherKey },
      anotherKey,
      /^--broker-key: expected the private key of the certificate in .* got another/,
    ],
  ] as const) {
    const { code, message } = await refusal(new Rig({ ...given, urls: ['amqps://127.0.0.1:1'] }).link.start(5_000));
    assert.equal(code, 'USAGE');
    assert.match(message, expected);
    assert.ok(message.includes(file), message);
  }
});

test('a broker that asks for our certificate gets it, and one that we do not have is asked for by name', async (t) => {
  const shown = { cert: GOOD, key: LEAF_KEY, clients: AUTHORITY };
  const own = files(t, { ca: AUTHORITY, cert: GOOD, key: LEAF_KEY });
  await (await Rig.with(t, own, new Handshaker(shown))).link.start(0);
  const rig = await Rig.with(t, { ca: own.ca }, new Handshaker(shown));
  const { code, message } = await refusal(rig.link.start(10_000));
  assert.equal(code, 'BROKER_REFUSED');
  assert.match(message, /expects a certificate of ours that it trusts \(--broker-cert, --broker-key\); got none/);
});
