import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { GetMessage } from 'amqplib';
import type { PosOrder } from '../../src/sim/orders.ts';
import { withBroker } from '../helpers/broker.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

const broker = await withBroker();
let connection = await broker.connect();
const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ran>;
}

function start(args: readonly string[], input = '', address = broker.url): Running {
  const env = Object.entries(process.env).filter(([name]) => !name.startsWith('ORDERLANE_'));
  const child = spawn(process.execPath, [MAIN, 'publish', '--broker', address, ...args], {
    env: Object.fromEntries(env),
  });
  child.stdin.on('error', () => undefined); // one that ends early does not read all
  child.stdin.end(input);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([stdout, stderr]) => ({ code: child.exitCode, stdout, stderr }),
  );
  return { child, ended };
}

function publish(args: readonly string[], input = ''): Promise<Ran> {
  return start(args, input).ended;
}

async function everythingOn(queue: string): Promise<GetMessage[]> {
  const channel = await connection.createChannel();
  const messages: GetMessage[] = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) break;
    messages.push(message);
  }
  await channel.close();
  return messages;
}

interface Entry {
  readonly key: string;
  readonly order: string;
  readonly merchant: string;
  readonly intendedAt: number;
  readonly confirmedAt: number | null;
}

function entriesOf(journal: string): Entry[] {
  const lines = readFileSync(journal, 'utf8').split('\n');
  assert.equal(lines.pop(), '');
  return lines.map((line) => JSON.parse(line) as Entry);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error('waited for 30 s in vain');
    await sleep(10);
  }
}

function ids(messages: readonly GetMessage[]): string[] {
  return messages.map(({ properties }) => String(properties.messageId));
}

test('2,000 generated orders are on the queue, each once, with IDs and times where work looks for them', async () => {
  const queue = broker.queueName();
  const journal = join(scratch, `${queue}.ndjson`);
  const begun = Date.now();
  const args = ['-Q', queue, '--generate', '2000', '--merchants', '50', '--journal', journal, '--json'];
  const { code, stdout, stderr } = await publish(args);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const { seconds, ...facts } = JSON.parse(stdout) as { seconds: number };
  const nothing = { returned: 0, refused: 0, unconfirmed: 0, republished: 0, interrupted: false };
  assert.deepEqual(facts, { queue, published: 2000, confirmed: 2000, ...nothing });
  assert.ok(seconds > 0);
  assert.match(await broker.ctl('list_queues', 'name', 'type', 'durable'), new RegExp(`^${queue}\tquorum\ttrue$`, 'm'));

  const messages = await everythingOn(queue);
  assert.equal(messages.length, 2000);
  assert.equal(new Set(ids(messages)).size, 2000);
  const entries = new Map(entriesOf(journal).map((entry) => [entry.key, entry]));
  assert.equal(entries.size, 2000);
  const perMerchant = new Map<string, number>();
  for (const { content, properties } of messages) {
    const order = JSON.parse(content.toString()) as PosOrder;
    const at = Date.parse(order.placed_at);
    assert.ok(at >= begun && at <= Date.now());
    const { 'x-delivery-count': _count, ...headers } = properties.headers ?? {}; // a quorum queue's own
    assert.deepEqual(headers, { merchant_id: order.merchant_id, order_id: order.id, timestamp_in_ms: at });
    const { contentType, deliveryMode, timestamp } = properties;
    assert.deepEqual([contentType, deliveryMode, timestamp], ['application/json', 2, Math.floor(at / 1000)]);
    const entry = entries.get(String(properties.messageId)) as Entry;
    assert.deepEqual([entry.order, entry.merchant, entry.intendedAt], [order.id, order.merchant_id, at]);
    assert.ok((entry.confirmedAt as number) >= at && (entry.confirmedAt as number) <= Date.now());
    perMerchant.set(order.merchant_id, (perMerchant.get(order.merchant_id) ?? 0) + 1);
  }
  // Zipf over 50: the first has 22% of the orders.
  assert.ok((perMerchant.get('m-1') as number) > 350 && (perMerchant.get('m-1') as number) < 550);
});

test('two runs with one seed make the same orders, as different messages of different orders', async () => {
  const queue = broker.queueName();
  const args = ['-Q', queue, '--generate', '200', '--merchants', '10', '--seed', '7'];
  assert.equal((await publish(args)).code, 0);
  const first = await everythingOn(queue);
  assert.equal((await publish(args)).code, 0);
  const second = await everythingOn(queue);
  assert.equal(new Set([...ids(first), ...ids(second)]).size, 400);
  const drawn = ({ content }: GetMessage): unknown => {
    const { items, totals, merchant_id, customer } = JSON.parse(content.toString()) as PosOrder;
    return { items, totals, merchant_id, customer };
  };
  assert.deepEqual(first.map(drawn), second.map(drawn));
  const orderIds = [...first, ...second].map(({ properties }) => String(properties.headers?.['order_id']));
  assert.equal(new Set(orderIds).size, 400);
  await publish([...args, '--ids', 'run-1']);
  assert.deepEqual(ids(await everythingOn(queue)).slice(0, 2), ['msg-run-1-1', 'msg-run-1-2']);
});

test('lines from standard input are published byte for byte', async () => {
  const queue = broker.queueName();
  const lines = [
    '{ "merchant_id" : "m-1" , "id":"a\\u00e9" }',
    '{"id":2,"merchant_id":7,"total":1.50,"name":"Crème brûlée 🍮"}',
    `{"merchant_id":"m-1","padding":"${'x'.repeat(300_000)}"}`,
  ];
  const { code, stdout } = await publish(['-Q', queue], `${lines[0]}\r\n\n${lines[1]}\n${lines[2]}`);
  assert.equal(code, 0);
  assert.match(stdout, new RegExp(`^3 of 3 orders confirmed on ${queue} in \\d+\\.\\ds \\([\\d,]+/s\\)\n$`));
  const messages = await everythingOn(queue);
  assert.deepEqual(
    messages.map(({ content }) => content.toString()),
    lines,
  );
  const headers = messages.map(({ properties }) => [
    properties.headers?.['merchant_id'],
    properties.headers?.['order_id'],
  ]);
  assert.deepEqual(headers, [
    ['m-1', 'aé'],
    ['7', '2'],
    ['m-1', messages[2]?.properties.messageId],
  ]);
});

test('a file is read with other JSON pointers', async () => {
  const queue = broker.queueName();
  const args = ['-Q', queue, '--file', '-', '--merchant-key', '/shop/code', '--order-id-key', '/number'];
  assert.equal((await publish(args, '{"shop":{"code":"s1"},"number":"n1"}\n')).code, 0);
  const [message] = (await everythingOn(queue)) as [GetMessage];
  assert.equal(message.properties.headers?.['merchant_id'], 's1');
  assert.equal(message.properties.headers?.['order_id'], 'n1');
});

test('a bad line ends it with exit code 2; what came before it is published, what comes after it is not', async () => {
  const queue = broker.queueName();
  const { code, stdout, stderr } = await publish(
    ['-Q', queue],
    '{"merchant_id":1}\n{"merchant_id":\n{"merchant_id":3}\n',
  );
  assert.equal(code, 2);
  assert.match(stderr, /^orderlane: standard input, line 2: the body is not JSON.*1 orders before it are\.\n$/);
  assert.match(stdout, /^1 of 1 orders confirmed/);
  assert.deepEqual(
    (await everythingOn(queue)).map(({ content }) => content.toString()),
    ['{"merchant_id":1}'],
  );
});

test('an unreachable broker is exit code 3, with its address but without its password', async () => {
  const args = ['--generate', '1', '--connect-wait', '300ms'];
  const { code, stdout, stderr } = await start(args, '', 'amqp://user:secret@127.0.0.1:1').ended;
  assert.deepEqual({ code, stdout }, { code: 3, stdout: '' });
  assert.match(stderr, /no broker at amqp:\/\/user:\*\*\*@127\.0\.0\.1:1/);
  assert.doesNotMatch(stderr, /secret/);
});

test('with --declare passive a missing queue is exit code 1, and is not made', async () => {
  const queue = broker.queueName();
  const { code, stderr } = await publish(['-Q', queue, '--declare', 'passive', '--generate', '1']);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`there is no queue '${queue}'`));
  assert.doesNotMatch(await broker.ctl('list_queues', 'name'), new RegExp(`^${queue}$`, 'm'));
});

test('a queue with other arguments is exit code 1, and says which', async () => {
  const queue = broker.queueName();
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true });
  await channel.close();
  const { code, stderr } = await publish(['-Q', queue, '--generate', '1']);
  assert.equal(code, 1);
  assert.match(stderr, /other arguments than work would declare.*x-queue-type/);
  assert.equal((await publish(['-Q', queue, '--generate', '1', '--declare', 'passive'])).code, 0);
});

test('messages that a queue refuses are counted, are not in the journal, and make exit code 1', async () => {
  const queue = broker.queueName();
  const journal = join(scratch, `${queue}.ndjson`);
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true, maxLength: 10, overflow: 'reject-publish' });
  await channel.close();
  const args = ['-Q', queue, '--declare', 'passive', '--generate', '100', '--journal', journal, '--json'];
  const { code, stdout } = await publish(args);
  assert.equal(code, 1);
  const { confirmed, refused } = JSON.parse(stdout) as { confirmed: number; refused: number };
  assert.ok(refused > 0);
  assert.equal(confirmed + refused, 100);
  const messages = await everythingOn(queue);
  assert.equal(messages.length, confirmed);
  assert.deepEqual(
    entriesOf(journal)
      .map(({ key }) => key)
      .toSorted(),
    ids(messages).toSorted(),
  );
});

test('messages that come back because the queue is gone are counted, and make exit code 1', async () => {
  const queue = broker.queueName();
  const journal = join(scratch, `${queue}.ndjson`);
  // A classic queue: when a quorum queue goes that messages are on their way to, 3.10 closes the connection with 541.
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true });
  const args = ['--declare', 'passive', '--generate', '400', '--rate', '400', '--journal', journal, '--json'];
  const { ended } = start(['-Q', queue, ...args]);
  await until(() => existsSync(journal) && statSync(journal).size > 0);
  await channel.deleteQueue(queue);
  await channel.close();
  const { code, stdout } = await ended;
  assert.equal(code, 1);
  const { confirmed, returned } = JSON.parse(stdout) as { confirmed: number; returned: number };
  assert.ok(confirmed > 0 && returned > 0, stdout);
  assert.equal(entriesOf(journal).filter(({ confirmedAt }) => confirmedAt !== null).length, confirmed);
});

test('a lost connection costs nothing but copies: every message is on the queue, under its one ID', async () => {
  const queue = broker.queueName();
  const journal = join(scratch, `${queue}.ndjson`);
  const flags = ['--generate', '100000', '--rate', '500', '--journal', journal, '--json'];
  const { child, ended } = start(['-Q', queue, ...flags]);
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const losses = (): number => said.match(/connection lost; reconnecting/g)?.length ?? 0;
  const closed = new Set<string>();
  for (const [before, bytes] of [1, 40_000].entries()) {
    await until(() => existsSync(journal) && statSync(journal).size >= bytes && losses() === before);
    // It may be between two connections just now, and one that was closed may still be listed.
    await until(async () => {
      const listed = (await broker.ctl('list_connections', 'pid', 'client_properties')).split('\n');
      const ours = listed
        .filter((each) => each.includes('orderlane publish'))
        .map((each) => each.split('\t')[0] as string);
      const fresh = ours.filter((pid) => !closed.has(pid));
      for (const pid of fresh) await broker.ctl('close_connection', pid, 'test');
      for (const pid of fresh) closed.add(pid);
      return fresh.length > 0;
    });
  }
  await until(() => losses() === 2);
  const size = statSync(journal).size;
  await until(() => statSync(journal).size > size);
  child.kill('SIGTERM');
  const { code, stdout, stderr } = await ended;
  assert.equal(code, 0, stderr);
  const { published, confirmed, republished } = JSON.parse(stdout) as Record<string, number>;
  assert.equal(confirmed, published);
  const keys = entriesOf(journal).map(({ key }) => key);
  assert.equal(new Set(keys).size, published);
  const found = ids(await everythingOn(queue));
  assert.deepEqual([...new Set(found)].toSorted(), keys.toSorted());
  assert.ok(found.length - (published as number) <= (republished as number));
});

test('a broker that is lost and does not come back within --connect-wait ends it with exit code 1 and a report', async () => {
  const queue = broker.queueName();
  const journal = join(scratch, `${queue}.ndjson`);
  const args = [
    '-Q',
    queue,
    '--generate',
    '100000',
    '--rate',
    '200',
    '--journal',
    journal,
    '--connect-wait',
    '1s',
    '--json',
  ];
  const { ended } = start(args);
  await until(() => existsSync(journal) && statSync(journal).size > 0);
  await broker.ctl('stop_app');
  try {
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 1);
    assert.match(stderr, /the connection to the broker was lost \(.+\) and not back within 1s/);
    const { confirmed } = JSON.parse(stdout) as { confirmed: number };
    const entries = entriesOf(journal);
    assert.equal(entries.filter(({ confirmedAt }) => confirmedAt !== null).length, confirmed);
  } finally {
    await broker.ctl('start_app');
    connection = await broker.connect();
  }
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends it: what was published is confirmed, and reported`, async () => {
    const queue = broker.queueName();
    const journal = join(scratch, `${queue}.ndjson`);
    const args = ['-Q', queue, '--generate', '1000000', '--rate', '300', '--journal', journal, '--json'];
    const { child, ended } = start(args);
    await until(() => existsSync(journal) && statSync(journal).size > 0);
    child.kill(signal);
    const { code, stdout } = await ended;
    assert.equal(code, 0);
    const { published, confirmed, interrupted } = JSON.parse(stdout) as Record<string, unknown>;
    assert.equal(interrupted, true);
    assert.equal(confirmed, published);
    assert.deepEqual(
      entriesOf(journal)
        .map(({ key }) => key)
        .toSorted(),
      ids(await everythingOn(queue)).toSorted(),
    );
  });
}

test('a signal ends the wait for standard input', async () => {
  const queue = broker.queueName();
  const child = spawn(process.execPath, [MAIN, 'publish', '--broker', broker.url, '-Q', queue], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.write('{"merchant_id":1}\n');
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await until(async () => (await channel.checkQueue(queue)).messageCount === 1);
  await channel.close();
  const said = text(child.stdout);
  child.kill('SIGTERM');
  await once(child, 'close');
  assert.match(await said, /^1 of 1 orders confirmed .*; interrupted\n$/);
});

test('flags that cannot be used as given are exit code 2, and say what was expected', async () => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['--generate', '0'], /--generate: expected a whole number from 1 .*; got "0"/],
    [['--generate', '10', '--rate', 'fast'], /--rate: expected a number .*; got "fast"/],
    [['--generate', '10', '--file', 'x'], /--file and --generate: expected one of the two; got both/],
    [['--zipf', '1'], /--zipf: expected --generate COUNT with it; got none/],
    [['--generate', '1', '--ids', 'a b'], /--ids: expected 1 to 64 letters, .*; got "a b"/],
    [['--seed', '1'], /--seed: expected --generate COUNT or --rate with it; got neither/],
    [['--file', '/no/such/file'], /--file \/no\/such\/file: cannot be read: ENOENT/],
    [['--generate', '1', '--journal', '/no/such/file'], /--journal \/no\/such\/file: cannot be written: ENOENT/],
    [['--generate', '1', '--connect-wait', '5'], /--connect-wait: expected a duration .*; got "5"/],
    [['--generat', '1'], /Unknown option --generat\. Did you mean --generate\?/],
  ];
  const results = await Promise.all(cases.map(([args]) => publish(args)));
  for (const [i, { code, stdout, stderr }] of results.entries()) {
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
    assert.match(stderr, cases[i]?.[1] as RegExp);
  }
});
