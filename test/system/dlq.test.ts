import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ConsumeMessage } from 'amqplib';
import { topologyOf } from '../../src/broker/rabbitmq/topology.ts';
import { check } from '../../src/sim/checker.ts';
import { launch, orderlane, type Result } from '../cli/command-line.ts';
import { AmqpProxy } from '../faults/amqp-proxy.ts';
import { withBroker } from '../helpers/broker.ts';
import { type Command, startCommand } from '../helpers/command.ts';
import { Collected, type Message, put } from '../helpers/queues.ts';
import { Target } from '../helpers/target.ts';
import { startWorker } from '../helpers/worker.ts';

const broker = await withBroker();
const HOUR_MS = 3600_000;

interface Letter extends Message {
  readonly messageId: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly merchant: string;
  readonly body: string;
}

/** A dead letter as `work` leaves it; the nth of a queue, each a minute younger than the one before. */
function letter(n: number, merchant: string, headers: Readonly<Record<string, unknown>> = {}): Letter {
  const body = `{"id": "o-${n}",  "merchant_id": "${merchant}"}`;
  const diedAt = Date.now() - 10 * HOUR_MS + n;
  return {
    messageId: `id-${n}`,
    merchant,
    body,
    contentType: 'application/json',
    headers: {
      order_id: `o-${n}`,
      merchant_id: merchant,
      timestamp_in_ms: diedAt - 60_000,
      deadline: diedAt,
      orderlane_identity: `id-${n}`,
      orderlane_hop: 6,
      orderlane_attempt: 6,
      orderlane_crashes: 1,
      not_before: 1,
      'x-delivery-count': 4,
      orderlane_reason: 'max-attempts',
      orderlane_detail: 'after 6 attempts: refused',
      orderlane_ended_at: diedAt,
      ...headers,
    },
  };
}

/** `count` letters, every tenth of them of merchant m-7. */
function letters(count: number): Letter[] {
  return Array.from({ length: count }, (_, n) => letter(n, n % 10 === 0 ? 'm-7' : `m-${100 + (n % 9)}`));
}

async function declared(queue: string): Promise<string> {
  const channel = await (await broker.connect()).createChannel();
  const { source, others, exchange } = topologyOf(queue, broker.version);
  await channel.assertExchange(exchange, 'direct', { durable: true });
  for (const { name, arguments: given } of [source, ...others]) {
    await channel.assertQueue(name, { durable: true, arguments: given });
  }
  await channel.bindQueue(queue, exchange, queue);
  await channel.close();
  return queue;
}

async function withLetters(...given: readonly Letter[]): Promise<string> {
  const queue = await declared(broker.queueName());
  await put(broker, `${queue}.dead`, ...given);
  return queue;
}

function dlq(queue: string, ...args: readonly string[]): Promise<Result> {
  return orderlane(['dlq', ...args, '--broker', broker.url, '--queue', queue]);
}

function startDlq(t: TestContext, queue: string, ...args: readonly string[]): Command {
  const address = args.includes('--broker') ? [] : ['--broker', broker.url];
  return startCommand(t, ['dlq', ...args, ...address, '--queue', queue]);
}

async function report(run: Promise<Result>): Promise<Record<string, unknown>> {
  const { code, out, err } = await run;
  assert.equal(code, 0, err);
  return JSON.parse(out) as Record<string, unknown>;
}

const ids = (messages: readonly { properties: { messageId?: unknown } }[]): unknown[] =>
  messages.map(({ properties }) => properties.messageId);

/** Everything that is ready in a queue, taken out. */
async function taken(queue: string): Promise<ConsumeMessage[]> {
  const channel = await (await broker.connect()).createChannel();
  const messages: ConsumeMessage[] = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) break;
    messages.push(message as unknown as ConsumeMessage);
  }
  await channel.close();
  return messages;
}

test('ls counts by reason and merchant, lists the oldest, and leaves every message where it was, however often', async () => {
  const given = letters(3000);
  const queue = await withLetters(...given, letter(3000, 'm-7', { orderlane_reason: 'rejected' }));
  for (let time = 0; time < 3; time++) {
    const said = await report(dlq(queue, 'ls', '--json', '--limit', '2'));
    assert.deepEqual([said['total'], said['meant']], [3001, 3001]);
    assert.deepEqual(said['byReason'], { 'max-attempts': 3000, rejected: 1 });
    assert.equal((said['byMerchant'] as Record<string, number>)['m-7'], 301);
    assert.deepEqual(
      (said['listed'] as { order: string }[]).map(({ order }) => order),
      ['o-0', 'o-1'],
    );
  }
  const { out } = await dlq(queue, 'ls', '--merchant', 'm-7', '--reason', 'rejected');
  assert.match(out, /^1 dead letter of 3,001 in /);
  assert.match(out, /^ {2}rejected +1$/m);
  assert.deepEqual(ids(await taken(`${queue}.dead`)), [...given.map(({ messageId }) => messageId), 'id-3000']);
});

test('show prints a letter in full, without the control sequences that its order may hold', async () => {
  const evil = { ...letter(1, 'm-1'), body: '{"note": "\u001b[2J"}\u009b' };
  const queue = await withLetters(letter(0, 'm-2'), evil);
  const { code, out } = await dlq(queue, 'show', '--merchant', 'm-1');
  assert.equal(code, 0);
  assert.match(out, /^reason +max-attempts$/m);
  assert.match(out, /^ {2}orderlane_hop +6$/m);
  assert.match(out, /^\{"note": "\\u001b\[2J"\}\\u009b$/m);
  assert.ok(!out.includes('\u001b') && !out.includes('o-0'));
  const lines = (await dlq(queue, 'show', '--json')).out.trim().split('\n');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { order: string; body: string }).body),
    ['{"id": "o-0",  "merchant_id": "m-2"}', evil.body],
  );
});

test('replay and drop only say what they would do, and insist on being told which', async () => {
  const queue = await withLetters(...letters(20));
  for (const action of ['replay', 'drop']) {
    const { code, out } = await dlq(queue, action, '--merchant', 'm-7');
    assert.equal(code, 0);
    assert.match(out, /^2 of 20 dead letters would .* Nothing was changed: add --execute to do it\.$/m);
    const refused = await dlq(queue, action, '--execute');
    assert.equal(refused.code, 2);
    assert.match(refused.err, /expected --merchant, .* or --all; got none/);
  }
  assert.equal((await taken(queue)).length, 0);
  assert.equal((await taken(`${queue}.dead`)).length, 20);
});

test('a filter that fits nothing is told as such, with what there is instead', async () => {
  const queue = await withLetters(...letters(20), letter(20, 'm-7', { orderlane_reason: 'rejected' }));
  const none = `None of 21 dead letters in ${queue}.dead matches. There are 20 max-attempts, 1 rejected.\n`;
  for (const action of ['ls', 'show']) {
    assert.deepEqual(await dlq(queue, action, '--reason', 'max-attempt'), { code: 0, out: none, err: '' });
  }
  for (const args of [['replay'], ['replay', '--execute'], ['drop'], ['drop', '--execute']]) {
    const { code, out } = await dlq(queue, ...args, '--reason', 'max-attempt');
    assert.deepEqual([code, out], [0, `${none}Nothing was changed.\n`]);
  }
});

test('interrupted before the broker has answered, it does not say that there are no dead letters', async (t) => {
  const child = launch(['dlq', 'ls', '--broker', 'amqp://127.0.0.1:1', '--queue', 'orders']);
  t.after(() => child.kill('SIGKILL'));
  const out = text(child.stdout as Readable);
  const closed = once(child, 'close');
  for await (const said of child.stderr as Readable) {
    if (/waiting for the broker/.test(String(said))) break;
  }
  child.kill('SIGINT');
  assert.equal(await out, 'interrupted before anything in orders.dead was seen; nothing was changed\n');
  assert.deepEqual(await closed, [1, null]);
});

test('a replayed letter has its bytes and its identity, a hop more, attempts and deadline anew, and says when and why', async () => {
  const given = letter(0, 'm-7');
  const queue = await withLetters(letter(1, 'm-1'), given, letter(2, 'm-2'));
  const before = Date.now();
  const args = ['--merchant', 'm-7', '--why', 'INC-17', '--deadline', '5m', '--json', '--execute'];
  const said = await report(dlq(queue, 'replay', ...args));
  assert.deepEqual([said['total'], said['meant'], said['replayed'], said['unconfirmed']], [3, 1, 1, 0]);
  const [copy, ...others] = await taken(queue);
  assert.deepEqual(others, []);
  assert.equal(copy?.content.toString(), given.body);
  assert.equal(copy?.properties.messageId, 'id-0');
  assert.equal(copy?.properties.contentType, 'application/json');
  const headers = copy?.properties.headers ?? {};
  const { orderlane_replayed_at: at, deadline, orderlane_by: by, orderlane_publish_id: _, ...rest } = headers;
  delete rest['x-delivery-count']; // the broker's own, of this arrival; RabbitMQ 4 adds none to the first
  assert.ok((at as number) >= before && (at as number) <= Date.now());
  assert.equal(deadline, (at as number) + 300_000);
  assert.match(String(by), /^dlq-/);
  assert.deepEqual(rest, {
    order_id: 'o-0',
    merchant_id: 'm-7',
    timestamp_in_ms: given.headers['timestamp_in_ms'],
    orderlane_identity: 'id-0',
    orderlane_hop: 7,
    orderlane_reason: 'max-attempts',
    orderlane_detail: 'after 6 attempts: refused',
    orderlane_ended_at: given.headers['orderlane_ended_at'],
    orderlane_replayed_from: `${queue}.dead`,
    orderlane_replayed_why: 'INC-17',
  });
  assert.deepEqual(ids(await taken(`${queue}.dead`)), ['id-1', 'id-2']);
});

test('a letter that was parked is replayed from the ambiguous queue, and the merchant is to be asked first', async () => {
  const queue = await declared(broker.queueName());
  await put(broker, `${queue}.ambiguous`, letter(0, 'm-7', { orderlane_reason: 'ambiguous' }));
  const said = await report(dlq(queue, 'replay', '--from', 'ambiguous', '--order', 'o-0', '--json', '--execute'));
  assert.equal(said['replayed'], 1);
  const [copy] = await taken(queue);
  assert.equal(copy?.properties.headers?.['orderlane_confirm_first'], true);
});

test('a second copy of a letter is not replayed twice, and goes with the first', async () => {
  const twin = letter(0, 'm-7');
  const queue = await withLetters(twin, letter(1, 'm-7'), twin);
  const said = await report(dlq(queue, 'replay', '--all', '--json', '--execute'));
  assert.deepEqual([said['replayed'], said['joined']], [2, 1]);
  assert.deepEqual(ids(await taken(queue)), ['id-0', 'id-1']);
  assert.deepEqual(await taken(`${queue}.dead`), []);
});

test('a replay that is killed three times loses nothing and doubles no send', async (t) => {
  const given = letters(4000);
  const queue = await withLetters(...given);
  const target = await Target.start(t);
  const worker = await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate });
  for (const sent of [60, 160, 260]) {
    const replay = startDlq(t, queue, 'replay', '--merchant', 'm-7', '--rate', '200/s', '--execute');
    await target.until(`${sent} sends`, () => target.receipts.size >= sent);
    replay.signal('SIGKILL');
    assert.equal(await replay.ended, 'SIGKILL');
  }
  await report(dlq(queue, 'replay', '--merchant', 'm-7', '--rate', '500/s', '--execute', '--json'));
  await target.until('all 400', () => target.receipts.size === 400 && target.open === 0);
  worker.drain();
  const { stats } = await worker.done;
  const dead = await taken(`${queue}.dead`);
  const verdict = check({
    published: given.map(({ messageId: key, merchant }) => ({
      key,
      order: key,
      merchant,
      intendedAt: 0,
      confirmedAt: 1,
    })),
    receipts: target.receipts,
    dead: ids(dead).map(String),
    queued: ids(await taken(queue)).map(String),
  });
  const { delivered, deadLettered, lost, doubled, duplicateSends, bodyChanged } = verdict;
  assert.deepEqual([delivered, deadLettered, lost, doubled, duplicateSends, bodyChanged], [400, 3600, 0, 0, 0, 0]);
  assert.equal(target.received.length, 400);
  assert.equal(stats.outcomes.delivered, 400);
});

test('a letter whose copy was delivered and that a kill has left behind is replayed without another send', async (t) => {
  const given = [letter(0, 'm-7'), letter(1, 'm-7')];
  const queue = await withLetters(...given);
  const target = await Target.start(t);
  const worker = await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate, statsIntervalMs: 50 });
  await report(dlq(queue, 'replay', '--all', '--execute', '--json'));
  await target.until('both', () => target.receipts.size === 2 && target.open === 0);
  await put(broker, `${queue}.dead`, ...given);
  await report(dlq(queue, 'replay', '--all', '--execute', '--json'));
  await worker.log.until((line) => (line['counts'] as { joined: number } | undefined)?.joined === 2);
  assert.equal(target.received.length, 2);
  assert.deepEqual(await taken(`${queue}.dead`), []);
});

test('orders that a merchant has rejected are delivered after a replay, with the key that they always had', async (t) => {
  const queue = broker.queueName();
  let isFixed = false;
  const target = await Target.start(t, () => ({ status: isFixed ? 200 : 422 }));
  const options = { broker: [broker.url], queue, url: target.urlTemplate, deadlineMs: 60_000 };
  const worker = await startWorker(t, options);
  // Long published: without a deadline of its own, a replayed one would have expired.
  const [body, age] = [{ id: 'o-1', merchant_id: 'm-1' }, { timestamp_in_ms: Date.now() - 59_000 }];
  await put(broker, queue, { messageId: 'id-1', headers: age, body });
  await worker.log.until('dead-lettered');
  await target.until('its end', () => target.callsOf('id-1').length === 1 && target.open === 0);
  isFixed = true;
  const args = ['--reason', 'rejected', '--execute', '--json'];
  const replays = async (): Promise<unknown> => (await report(dlq(queue, 'replay', ...args)))['replayed'];
  assert.equal(await replays(), 1);
  await target.until('another call', () => target.callsOf('id-1').length === 2);
  const [first, second] = target.callsOf('id-1');
  assert.deepEqual([second?.attempt, second?.body], [1, first?.body]);
  assert.equal(await replays(), 0);
});

test('a dead letter that may have been sent goes by what its merchant does with duplicates, after its replay too', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'orderlane-dlq-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const target = await Target.start(t);
  const merchants = join(folder, 'merchants.json');
  const entries = {
    asked: { duplicates: 'confirm' },
    again: { duplicates: 'idempotent' },
    once: { duplicates: 'never' },
    forgetful: { keyWindow: '1h' },
  };
  await writeFile(
    merchants,
    JSON.stringify({ allowHosts: ['127.0.0.1'], defaults: { url: target.urlTemplate }, merchants: entries }),
  );
  const maySent = { orderlane_possibly_sent: true };
  const marked = Object.keys(entries).map((merchant, n) => letter(n, merchant, maySent));
  const queue = await withLetters(...marked, letter(4, 'asked'));
  const handler = fileURLToPath(new URL('handlers/confirming.ts', import.meta.url));
  const worker = await startWorker(t, { broker: [broker.url], queue, merchants, handler, statsIntervalMs: 50 });
  await report(dlq(queue, 'replay', '--all', '--execute', '--json'));
  await worker.log.until((line) => {
    const { delivered } = (line['outcomes'] ?? {}) as { delivered?: number };
    const { parked } = (line['counts'] ?? {}) as { parked?: number };
    return delivered === 3 && parked === 2;
  });
  worker.drain();
  await worker.done;
  // The merchant says that it has the first; the last was never sent, and nobody asks about it.
  assert.deepEqual(target.received.map(({ key }) => key).toSorted(), ['id-0:confirm', 'id-1', 'id-4']);
  assert.deepEqual(
    ids(await taken(`${queue}.ambiguous`))
      .map(String)
      .toSorted(),
    ['id-2', 'id-3'],
  );
  assert.deepEqual(await taken(`${queue}.dead`), []);
});

test('a replay whose broker closes its connections goes on, and sends nothing twice', async (t) => {
  const queue = await withLetters(...letters(3000));
  const target = await Target.start(t);
  await startWorker(t, { broker: [broker.url], queue, url: target.urlTemplate });
  const replay = startDlq(t, queue, 'replay', '--merchant', 'm-7', '--rate', '200/s', '--execute', '--json');
  await target.until('50 sends', () => target.receipts.size >= 50);
  await broker.ctl('close_all_connections', 'for a test');
  assert.equal(await replay.ended, 0, replay.stderr());
  await target.until('all 300', () => target.receipts.size === 300 && target.open === 0);
  assert.equal(target.received.length, 300);
  assert.equal((replay.log.all[0] as unknown as { replayed: number }).replayed, 300);
  assert.equal((await taken(`${queue}.dead`)).length, 2700);
});

test('acknowledgements that are lost with the connection when a replay gives back what it held are made up for', async (t) => {
  const queue = await withLetters(...letters(200));
  const proxy = await AmqpProxy.start(broker.port);
  t.after(() => proxy.stop());
  let lost = 0;
  proxy.policy = ({ from, kind }) => {
    if (from !== 'client') return 'pass';
    if (kind === 'basic.ack') lost++;
    if (lost > 0 && kind === 'channel.close') {
      proxy.pass();
      return 'cut-before';
    }
    return kind === 'basic.ack' ? { delayMs: 600_000 } : 'pass';
  };
  const replay = startDlq(t, queue, 'replay', '--merchant', 'm-7', '--execute', '--json', '--broker', proxy.url);
  assert.equal(await replay.ended, 0, replay.stderr());
  assert.equal(lost, 20);
  assert.equal((replay.log.all[0] as unknown as { replayed: number }).replayed, 20);
  assert.equal((await taken(queue)).length, 20);
  assert.equal((await taken(`${queue}.dead`)).length, 180);
});

test('a replay says that the broker takes no messages, and goes on when it does again', async (t) => {
  const queue = await withLetters(...letters(20));
  await broker.ctl('set_vm_memory_high_watermark', 'absolute', '1MB');
  t.after(() => broker.ctl('set_vm_memory_high_watermark', 'absolute', '512MB'));
  const replay = startDlq(t, queue, 'replay', '--merchant', 'm-7', '--execute', '--json');
  await replay.errors.until(/the broker takes no more messages for now.*low on memory/);
  await broker.ctl('set_vm_memory_high_watermark', 'absolute', '512MB');
  assert.equal(await replay.ended, 0);
  const { replayed, unconfirmed } = replay.log.all[0] as unknown as Record<string, unknown>;
  assert.deepEqual([replayed, unconfirmed], [2, 0]);
  assert.deepEqual(ids(await taken(queue)), ['id-0', 'id-10']);
});

test('Ctrl-C ends a replay with all that it has published taken off the dead letters', async (t) => {
  const queue = await withLetters(...letters(2000));
  const copies = await Collected.from(broker, queue);
  const replay = startDlq(t, queue, 'replay', '--all', '--rate', '100/s', '--execute', '--json');
  await copies.count(30);
  replay.signal('SIGINT');
  assert.equal(await replay.ended, 1, replay.stderr());
  const { replayed, unconfirmed, interrupted } = replay.log.all[0] as unknown as Record<string, unknown>;
  assert.deepEqual([unconfirmed, interrupted], [0, true]);
  await copies.count(replayed as number);
  assert.equal(copies.all.length, replayed);
  const left = new Set(ids(await taken(`${queue}.dead`)));
  assert.deepEqual(
    left,
    new Set(
      letters(2000)
        .slice(replayed as number)
        .map(({ messageId }) => messageId),
    ),
  );
});

test('drop deletes what is meant, and nothing else moves', async () => {
  const given = letters(5000);
  const queue = await withLetters(...given);
  const { out } = await dlq(queue, 'drop', '--merchant', 'm-7', '--older-than', '1h', '--limit', '400', '--execute');
  assert.match(out, /^400 of 5,000 dead letters dropped; 4,600 stay in /);
  const meant = given.filter(({ merchant }) => merchant === 'm-7').slice(0, 400);
  const rest = given.filter((each) => !meant.includes(each));
  assert.deepEqual(
    ids(await taken(`${queue}.dead`)),
    rest.map(({ messageId }) => messageId),
  );
});

test('a queue that is missing, that drops what is given back, or that somebody else goes through is refused', async (t) => {
  const missing = await dlq('nowhere', 'ls');
  assert.deepEqual([missing.code, missing.out], [1, '']);
  assert.match(missing.err, /there is no queue 'nowhere'/);

  const queue = broker.queueName();
  const channel = await (await broker.connect()).createChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  const limited = { 'x-queue-type': 'quorum', 'x-delivery-limit': 3 };
  await channel.assertQueue(`${queue}.dead`, { durable: true, arguments: limited });
  const refused = await dlq(queue, 'ls');
  assert.equal(refused.code, 1);
  assert.match(refused.err, /has a delivery limit, .*: expected none/);

  const busy = await withLetters(...letters(200));
  const copies = await Collected.from(broker, busy);
  startDlq(t, busy, 'replay', '--all', '--rate', '2/s', '--execute');
  await copies.count(1);
  const second = await dlq(busy, 'ls');
  assert.equal(second.code, 1);
  assert.match(second.err, /another orderlane dlq is at work/);
});
