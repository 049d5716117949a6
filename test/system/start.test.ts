import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createServer } from 'node:tls';
import type { ChannelModel } from 'amqplib';
import { topologyOf } from '../../src/broker/rabbitmq/topology.ts';
import { orderlane } from '../cli/command-line.ts';
import { withBroker } from '../helpers/broker.ts';
import { backlog, put } from '../helpers/queues.ts';
import { Target } from '../helpers/target.ts';
import { startWorker } from '../helpers/worker.ts';
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../merchant/loopback-cert.ts';

const broker = await withBroker();
const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const url = ['--url', 'https://pos.example.com/{merchantId}/orders'];

/** Runs `work` to its end, which is to come by itself. Nobody wants to see a stack. */
async function work(...args: readonly string[]): Promise<{ code: number | null; err: string }> {
  const { code, err } = await orderlane(['work', '--log-format', 'json', ...args]);
  assert.doesNotMatch(err, /\n\s+at /);
  return { code, err };
}

/** Makes all that orderlane needs, as its own `--declare create` does, but with another source queue. */
async function makeTopology(connection: ChannelModel, queue: string, source: object | undefined): Promise<void> {
  const channel = await connection.createChannel();
  const { others, exchange } = topologyOf(queue, broker.version);
  for (const { name, arguments: given } of others) await channel.assertQueue(name, { arguments: given });
  await channel.assertExchange(exchange, 'direct');
  if (source !== undefined) {
    await channel.assertQueue(queue, { arguments: source });
    await channel.bindQueue(queue, exchange, queue);
  }
  await channel.close();
}

describe('work says why it does not start, and exits', { concurrency: 3 }, () => {
  test('3 when no broker answers, naming the address without its password', async () => {
    const { code, err } = await work(...url, '-b', 'amqp://me:hush@127.0.0.1:1', '--connect-wait', '300ms');
    assert.equal(code, 3);
    assert.match(err, /^orderlane: no broker at amqp:\/\/me:\*\*\*@127\.0\.0\.1:1 within 0\.3 s: .*ECONNREFUSED/);
  });

  test('1 when the password is wrong', async () => {
    const { code, err } = await work(...url, '-b', `amqp://guest:wrong@127.0.0.1:${broker.port}`);
    assert.equal(code, 1);
    assert.match(err, /^orderlane: the broker at amqp:\/\/guest:\*\*\*@\S+ refuses the user name or password/);
  });

  test('1 when there is no such virtual host', async () => {
    const { code, err } = await work(...url, '-b', `${broker.url}/elsewhere`, '--connect-wait', '1s');
    assert.equal(code, 1);
    assert.match(err, /virtual host.*elsewhere/);
    assert.doesNotMatch(err, /ConnectionOpenOk/);
  });

  test('1 when the queue is of another kind, naming the argument, what it should be and what it is', async () => {
    const queue = broker.queueName();
    await (await (await broker.connect()).createChannel()).assertQueue(queue, { durable: true });
    const { code, err } = await work(...url, '-b', broker.url, '-Q', queue);
    assert.equal(code, 1);
    assert.match(err, new RegExp(`queue '${queue}' has other arguments .*: x-queue-type should be '?quorum'? but is `));
    assert.match(err, /but is '?(classic|absent)'?\./);
  });

  test('1 when a rung of the ladder waits for another time', async () => {
    const queue = broker.queueName();
    const [rung] = topologyOf(queue, broker.version).others.filter(({ name }) => name.endsWith('.retry.1000'));
    const args = { ...rung?.arguments, 'x-message-ttl': 5000 };
    await (await (await broker.connect()).createChannel()).assertQueue(`${queue}.retry.1000`, { arguments: args });
    const { code, err } = await work(...url, '-b', broker.url, '-Q', queue);
    assert.equal(code, 1);
    assert.match(err, new RegExp(`queue '${queue}.retry.1000' .*x-message-ttl should be '?1000'? but is '?5000'?\\.`));
  });

  test('1 with --declare passive when queues are missing, naming each and making none', async () => {
    const queue = broker.queueName();
    const { code, err } = await work(...url, '-b', broker.url, '-Q', queue, '--declare', 'passive');
    assert.equal(code, 1);
    const { source, others, exchange } = topologyOf(queue, broker.version);
    for (const { name } of [source, ...others]) assert.ok(err.includes(`queue '${name}'`), `${err} names ${name}`);
    assert.ok(err.includes(`exchange '${exchange}'`));
    assert.doesNotMatch(await broker.ctl('list_queues', 'name'), new RegExp(`^${queue}`, 'm'));
  });

  for (const [what, text, said] of [
    [
      'does not parse',
      'export default {\n  deliver( {\n};\n',
      /does not load: .* \(\/\S+does-not-parse\.ts, line \d\)/,
    ],
    ['cannot be found', undefined, /does not load: Cannot find module/],
    ['imports what is not there', "import 'no-such-package';", /does not load: Cannot find package 'no-such-package'/],
    ['throws when it is loaded', "throw new Error('no licence');", /does not load: no licence/],
    [
      'has no deliver',
      'export default { send() {} };',
      /must export default defineHandler\(.*\); in what it exports there is only send/,
    ],
    ['exports nothing', 'const deliver = 1;', /it exports nothing, or an empty object/],
    ['exports an empty object', 'export default {};', /it exports nothing, or an empty object/],
    ['exits when it is loaded', 'process.exit(0);', /ended while it loaded the handler/],
    [
      'throws later while it loads',
      "setImmediate(() => { throw new Error('no licence'); }); await new Promise(() => undefined);",
      /ended while it loaded the handler.*no licence/,
    ],
  ] as const) {
    test(`1 or 2 when the handler ${what}`, async () => {
      const file = join(scratch, `${what.replaceAll(' ', '-')}.ts`);
      if (text !== undefined) writeFileSync(file, text);
      const { code, err } = await work('--handler', file, '-b', broker.url, '-Q', broker.queueName());
      assert.ok(code === 1 || code === 2, `${code}`);
      assert.match(err, said);
    });
  }

  test('1 when threads are lost for good before there is a broker, with what they were lost to', async () => {
    const file = join(scratch, 'works-once.ts');
    const lines = [
      "import { existsSync, writeFileSync } from 'node:fs';",
      `const seen = '${join(scratch, 'seen')}';`,
      "if (existsSync(seen)) throw new Error('the licence is used up');",
      "writeFileSync(seen, '');",
      'setTimeout(() => process.exit(1), 10);',
      'export default { deliver() {} };',
    ];
    writeFileSync(file, lines.join('\n'));
    const { code, err } = await work(
      '--handler',
      file,
      '--shards',
      '1',
      '-b',
      'amqp://127.0.0.1:1',
      '--connect-wait',
      '5m',
    );
    assert.equal(code, 1);
    assert.match(err, /^orderlane: .*the licence is used up/m);
  });

  test('2 when --broker-ca cannot be read, naming the file', async () => {
    const file = join(scratch, 'no-such.pem');
    const { code, err } = await work(...url, '-b', 'amqps://127.0.0.1:1', '--broker-ca', file, '--connect-wait', '1s');
    assert.equal(code, 2);
    assert.ok(err.includes(file), err);
  });

  test('2 when the broker shows a certificate that is not trusted, naming what is wrong with it and --broker-ca', async (t) => {
    const tls = createServer({ cert: LOOPBACK_CERT, key: LOOPBACK_KEY }, (socket) => socket.resume());
    tls.on('tlsClientError', () => undefined);
    tls.listen(0, '127.0.0.1');
    await once(tls, 'listening');
    t.after(() => tls.close());
    const { port } = tls.address() as AddressInfo;
    const { code, err } = await work(...url, '-b', `amqps://me:hush@127.0.0.1:${port}`);
    assert.equal(code, 2);
    assert.match(
      err,
      /is not trusted: it is self-signed \(DEPTH_ZERO_SELF_SIGNED_CERT\)\. Expected .* --broker-ca FILE gives/,
    );
    assert.ok(err.startsWith(`orderlane: the certificate of the broker at amqps://127.0.0.1:${port} is`), err);
  });

  test('2 when --broker-key does not belong to --broker-cert', async () => {
    const [cert, key] = [join(scratch, 'cert.pem'), join(scratch, 'key.pem')];
    writeFileSync(cert, LOOPBACK_CERT);
    writeFileSync(key, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const { code, err } = await work(...url, '-b', 'amqps://127.0.0.1:1', '--broker-cert', cert, '--broker-key', key);
    assert.equal(code, 2);
    assert.ok(err.includes('--broker-key') && err.includes(cert) && err.includes(key), err);
  });

  test('2 when a URL or a host from the environment cannot be used, naming the variable', async () => {
    const env = { ORDERLANE_URL: 'https://me:hush@pos.example.com/', ORDERLANE_ALLOW_HOST: 'a.*.b' };
    const { code, err } = await orderlane(['work', '-b', 'amqp://127.0.0.1:1'], env);
    assert.equal(code, 2);
    assert.match(err, /ORDERLANE_URL: expected an http or https URL .*; got "https:\/\/\*\*\*@pos\.example\.com\/"/);
    assert.match(err, /ORDERLANE_ALLOW_HOST: expected a host, .*; got "a\.\*\.b"/);
  });

  test('2 when the merchant directory is bad, naming the entry', async () => {
    const file = join(scratch, 'merchants.json');
    writeFileSync(file, '{"defaults":{"url":"https://pos.example.com"},"merchants":{"m-1":{"timeuot":"5s"}}}');
    const { code, err } = await work('--merchants', file, '-b', broker.url);
    assert.equal(code, 2);
    assert.match(err, /m-1.*timeuot/s);
  });
});

for (const [duplicates, warnings] of [
  ['confirm', 1],
  ['idempotent', 0],
] as const) {
  test(`a directory that says ${duplicates} and a handler without confirm: ${warnings} warnings at start`, async (t) => {
    const file = join(scratch, `${duplicates}.json`);
    writeFileSync(file, JSON.stringify({ merchants: { m: { url: 'https://pos.example.com/', duplicates } } }));
    const worker = await startWorker(t, { broker: [broker.url], queue: broker.queueName(), merchants: file });
    const said = worker.log.matching(/^merchants with "duplicates": "confirm", and no handler: .* are parked$/);
    assert.equal(said.length, warnings);
  });
}

test('with --declare passive, a classic source queue is taken as it is, with a warning, and retries return to it', async (t) => {
  const queue = broker.queueName();
  await makeTopology(await broker.connect(), queue, { 'x-queue-type': 'classic' });
  const target = await Target.start(t, (_call, nth) => ({ status: nth === 1 ? 500 : 200 }));
  const worker = await startWorker(t, {
    broker: [broker.url],
    queue,
    declare: 'passive',
    url: target.urlTemplate,
    backoffMs: 100,
  });
  const { level } = await worker.log.until(/x-queue-type should be '?quorum'? but is '?classic/);
  assert.equal(level, 40);
  await put(broker, queue, { messageId: 'one', body: { id: 'o', merchant_id: 'm' } });
  await target.until('two calls', () => target.callsOf('one').length === 2);
  worker.drain();
  await worker.done;
  assert.deepEqual(await backlog(broker, queue), {});
});
