import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connect } from 'amqplib';
import { topologyOf } from '../../src/broker/rabbitmq/topology.ts';
import { startBroker } from '../../src/sim/broker.ts';
import { orderlane } from '../cli/command-line.ts';
import { theBroker } from '../helpers/broker.ts';

const broker = await startBroker({ management: true, ...theBroker });
const connection = await connect(broker.url);
connection.on('error', () => undefined);
after(async () => {
  await connection.close();
  await broker.stop();
});

interface Finding {
  readonly check: string;
  readonly verdict: 'ok' | 'warn' | 'fail';
  readonly what: string;
  readonly fix?: string;
}

interface Report {
  readonly code: number | null;
  readonly findings: readonly Finding[];
  /** Of one check. */
  readonly of: (check: string) => readonly Finding[];
}

async function doctor(queue: string, url: string, ...args: readonly string[]): Promise<Report> {
  const merchants = ['--url', 'http://localhost:1/{merchantId}', '--allow-host', 'localhost'];
  const { code, out, err } = await orderlane(['doctor', '--json', ...merchants, '-Q', queue, '-b', url, ...args]);
  assert.equal(err, '');
  const { findings } = JSON.parse(out) as { findings: Finding[] };
  return { code, findings, of: (check) => findings.filter((each) => each.check === check) };
}

async function declared(queue: string): Promise<void> {
  const channel = await connection.createChannel();
  const { source, others, exchange } = topologyOf(queue, broker.version);
  await channel.assertExchange(exchange, 'direct', { durable: true });
  for (const { name, arguments: given } of [source, ...others]) {
    await channel.assertQueue(name, { durable: true, arguments: given });
  }
  await channel.bindQueue(queue, exchange, queue);
  await channel.close();
}

async function queues(): Promise<string> {
  return (await broker.ctl('list_queues', 'name', '--silent')).split('\n').sort().join('\n');
}

async function user(
  name: string,
  ...patterns: readonly [configure: string, write: string, read: string]
): Promise<string> {
  await broker.ctl('add_user', name, 'secret');
  await broker.ctl('set_permissions', name, ...patterns);
  const url = new URL(broker.url);
  url.username = name;
  url.password = 'secret';
  return url.href;
}

test('with everything there nothing fails, and nothing is made, sent or taken', async () => {
  await declared('whole');
  const channel = await connection.createConfirmChannel();
  channel.sendToQueue('whole', Buffer.from('{}'), { persistent: true });
  await channel.waitForConfirms();
  await channel.close();
  const before = await queues();
  const report = await doctor('whole', broker.url, '--management-url', broker.managementUrl as string);
  assert.deepEqual(
    report.findings.filter(({ verdict }) => verdict === 'fail'),
    [],
  );
  assert.equal(report.code, 0);
  for (const check of ['broker', 'version', 'queues', 'permissions', 'publishing', 'policies', 'names', 'addresses']) {
    assert.deepEqual(
      report.of(check).map(({ verdict }) => verdict),
      ['ok'],
      check,
    );
  }
  assert.match(report.of('backlog')[0]?.what ?? '', /^1 ready in queue 'whole', and nobody takes them$/);
  assert.equal(await queues(), before);
  const after = await connection.createChannel();
  const message = await after.get('whole');
  assert.equal(message === false ? 'gone' : message.fields.redelivered, false, 'nobody has had it before');
  await after.close();
});

test('queues that are missing are made by a start, or fail where it may make none; the doctor makes none', async () => {
  const before = await queues();
  const create = await doctor('absent', broker.url);
  assert.deepEqual([create.code, create.of('queues').map(({ verdict }) => verdict)], [0, ['warn']]);
  assert.equal(create.of('permissions')[0]?.verdict, 'ok');
  const passive = await doctor('absent', broker.url, '--declare', 'passive');
  assert.deepEqual([passive.code, passive.of('queues').map(({ verdict }) => verdict)], [1, ['fail']]);
  assert.match(passive.of('queues')[0]?.fix ?? '', /--declare create/);
  assert.equal(await queues(), before);
});

test('a queue with other arguments fails, with the argument, both values and the way out', async () => {
  const channel = await connection.createChannel();
  await channel.assertQueue('classic', { durable: true });
  await channel.close();
  const { code, of } = await doctor('classic', broker.url);
  const [different] = of('queues');
  assert.equal(code, 1);
  assert.match(different?.what ?? '', /queue 'classic'.*x-queue-type should be 'quorum' but is /);
  assert.match(different?.fix ?? '', /rabbitmqctl delete_queue classic/);
});

test('what a user may not do fails by name, of queues that are there and of those that are not', async () => {
  await declared('guarded');
  const none = await doctor('guarded', await user('nobody', '^$', '^$', '^$'));
  assert.equal(none.code, 1);
  const told = none.of('permissions')[0]?.what ?? '';
  assert.match(told, /^this user may not declare \(no access to queue 'guarded' and 13 more\)/);
  assert.match(
    told,
    /, nor consume \(no access to queue 'guarded'\), nor publish \(no access to exchange 'amq\.default'\)$/,
  );
  const of = async (queue: string, name: string, ...patterns: [string, string, string]): Promise<string | undefined> =>
    (await doctor(queue, await user(name, ...patterns))).of('permissions')[0]?.what;
  const absent = await of('elsewhere', 'reader', '^$', '.*', '.*');
  assert.equal(absent, "this user may not declare (no access to queue 'elsewhere' and 12 more)");
  const deaf = await of('guarded', 'deaf', '.*', '.*', '^$');
  assert.match(deaf ?? '', /consume \(no access to queue 'guarded'\)$/);
  const dumb = await of('guarded', 'dumb', '.*', '^$', '.*');
  assert.match(dumb ?? '', /publish \(no access to exchange 'amq\.default'\)$/);
  // What the fix says is enough.
  const bare = await user('enough', '^$', '^$', '^$');
  const fix = (await doctor('guarded', bare)).of('permissions')[0]?.fix ?? '';
  const [, ...patterns] = /^rabbitmqctl set_permissions -p \/ enough '(.*?)' '(.*?)' '(.*?)' /.exec(fix) ?? [];
  assert.equal(patterns.length, 3, fix);
  await broker.ctl('set_permissions', 'enough', ...patterns);
  const enough = await doctor('guarded', bare);
  assert.deepEqual(
    enough.of('permissions').map(({ verdict }) => verdict),
    ['ok'],
  );
});

test('with --outcomes the exchange of the events is looked at too, and nothing is published to it', async () => {
  await declared('told');
  const outcomes = ['--outcomes', 'final'];
  const before = await doctor('told', broker.url, ...outcomes, '--management-url', broker.managementUrl as string);
  assert.match(before.of('queues')[0]?.what ?? '', /missing: exchange 'told\.outcomes'/);
  // The queues are there, and what the management API says of them is not left out.
  assert.deepEqual([before.of('policies')[0]?.verdict, before.of('budget')[0]?.verdict], ['ok', 'ok']);
  assert.equal((await doctor('told', broker.url)).of('queues')[0]?.verdict, 'ok');
  const channel = await connection.createChannel();
  await channel.assertExchange('told.outcomes', 'topic', { durable: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, 'told.outcomes', '#');
  const whole = await doctor('told', broker.url, ...outcomes);
  assert.deepEqual([whole.code, whole.of('permissions')[0]?.verdict], [0, 'ok']);
  assert.equal(await channel.get(queue), false);
  const silent = await user('silent', '.*', '^(told(\\.retry.*)?|amq\\.default)$', '.*');
  const { code, of } = await doctor('told', silent, ...outcomes);
  assert.deepEqual([code, of('permissions')[0]?.verdict], [1, 'fail']);
  assert.match(of('permissions')[0]?.what ?? '', /may not publish \(no access to exchange 'told\.outcomes'/);
  await channel.deleteExchange('told.outcomes');
  await channel.assertExchange('told.outcomes', 'fanout', { durable: true });
  const other = (await doctor('told', broker.url, ...outcomes)).of('queues')[0];
  assert.match(
    other?.what ?? '',
    /exchange 'told\.outcomes' has other arguments .*type should be 'topic' but is 'fanout'/,
  );
  await channel.close();
});

test('a policy that loses orders and a binding that is missing fail', async () => {
  await declared('kept');
  await broker.ctl('set_policy', 'tidy', '^kept$', '{"message-ttl":60000}', '--apply-to', 'queues');
  const channel = await connection.createChannel();
  await channel.unbindQueue('kept', 'kept.retry', 'kept');
  await channel.close();
  const { code, of } = await doctor(
    'kept',
    broker.url,
    '--declare',
    'passive',
    '--management-url',
    broker.managementUrl as string,
  );
  assert.equal(code, 1);
  assert.deepEqual(
    of('policies').map(({ verdict }) => verdict),
    ['fail', 'fail'],
  );
  assert.match(of('policies')[0]?.what ?? '', /policy 'tidy' sets message-ttl to 60000/);
});

test('every address is tried: one that is gone is borne beside one that answers, a wrong password is not', async () => {
  const gone = await doctor('whole', `amqp://127.0.0.1:1,${broker.url}`);
  assert.deepEqual(
    gone.of('broker').map(({ verdict }) => verdict),
    ['warn', 'ok'],
  );
  const wrong = new URL(broker.url);
  wrong.username = 'guest';
  wrong.password = 'wrong-one';
  const refused = await doctor('whole', wrong.href);
  assert.deepEqual([refused.code, refused.of('broker').map(({ verdict }) => verdict)], [1, ['fail']]);
  assert.doesNotMatch(JSON.stringify(refused.findings), /wrong-one/);
});

test('an alarm of the broker is seen without the management API', async () => {
  await declared('alarmed');
  await broker.ctl('set_vm_memory_high_watermark', 'absolute', '1MB');
  try {
    const { code, of } = await doctor('alarmed', broker.url);
    assert.equal(code, 1);
    assert.match(of('publishing')[0]?.what ?? '', /the broker takes none: low on memory/);
  } finally {
    await broker.ctl('set_vm_memory_high_watermark', 'absolute', '512MB');
  }
});
