import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import got from 'got';
import { createLog, createThreadLogger, type Log } from '../src/log.ts';

interface Captured {
  readonly log: Log;
  readonly lines: string[];
  readonly last: () => Record<string, unknown>;
}

function capture(level = 'info', fields: readonly string[] = [], format: 'pretty' | 'json' = 'json'): Captured {
  const lines: string[] = [];
  const log = createLog({ level, format, fields, destination: (line) => lines.push(line) });
  return { log, lines, last: () => JSON.parse(lines.at(-1) as string) as Record<string, unknown> };
}

test('known fields are shown, all others keep their name and lose their value', () => {
  const { log, last } = capture('info', ['posVersion']);
  log.logger.info(
    {
      merchant: 'm-1',
      attempt: 2,
      returns: 3,
      posVersion: { major: 3 },
      counts: { retried: 1 },
      customer: { name: 'Ann' },
      headers: { authorization: 'Bearer x' },
      password: 'x',
      card: 4111,
      absent: undefined,
    },
    'sent',
  );
  const { level, time, pid, ...rest } = last();
  assert.deepEqual([level, typeof time, pid], [30, 'number', process.pid]);
  assert.deepEqual(rest, {
    merchant: 'm-1',
    attempt: 2,
    returns: 3,
    posVersion: { major: 3 },
    counts: { retried: 1 },
    customer: '[redacted]',
    headers: '[redacted]',
    password: '[redacted]',
    card: '[redacted]',
    msg: 'sent',
  });
});

test('a known field does not let an object through', () => {
  const { log, lines } = capture();
  log.logger.info({ reason: { customer: 'Ann' }, detail: [{ customer: 'Ann' }], order: ['o-1', 'o-2'] });
  assert.doesNotMatch(lines.join(''), /Ann/);
  assert.match(lines.join(''), /"order":\["o-1","o-2"\]/);
});

test('a field cannot pass for the level or the time of its line', () => {
  const { log, lines } = capture();
  log.logger.info({ level: 60, time: 0, pid: 1 }, 'once');
  assert.equal(lines.join('').match(/"level"/g)?.length, 1);
  assert.equal(lines.join('').match(/"time"/g)?.length, 1);
});

test('children redact too, whatever they bring along', () => {
  const { log, lines, last } = capture();
  const child = log.logger.child({ shard: 1, token: 'SECRET' }).child(
    { order: 'o-1', customer: 'SECRET' },
    {
      level: 'debug',
      serializers: { err: (error: unknown) => error, merchant: () => 'SECRET' },
      formatters: { log: (fields) => fields },
      redact: [],
    },
  );
  child.setBindings({ phone: 'SECRET' });
  child.debug({ merchant: 'm-1', err: Object.assign(new Error('no'), { options: 'SECRET' }) }, 'child');
  assert.doesNotMatch(lines.join(''), /SECRET/);
  const { shard, order, merchant, err } = last();
  assert.deepEqual([shard, order, merchant, err], [1, 'o-1', 'm-1', { type: 'Error', message: 'no' }]);
});

test('of an error only type, message and code are shown, and the stack from debug on', () => {
  const error = Object.assign(new TypeError('no'), { code: 'E_NO', config: 'SECRET', response: { body: 'SECRET' } });
  const info = capture('info');
  info.log.logger.error({ err: error }, 'failed');
  assert.deepEqual(info.last()['err'], { type: 'TypeError', message: 'no', code: 'E_NO' });
  info.log.logger.error(error);
  assert.deepEqual(info.last()['err'], { type: 'TypeError', message: 'no', code: 'E_NO' });
  info.log.logger.error({ err: 'thrown text' }, 'failed');
  assert.deepEqual(info.last()['err'], { type: 'string', message: 'thrown text' });
  const debug = capture('debug');
  debug.log.logger.error({ err: error }, 'failed');
  assert.match((debug.last()['err'] as { stack: string }).stack, /^TypeError: no\n {4}at /);
  assert.doesNotMatch([...info.lines, ...debug.lines].join(''), /SECRET/);
});

test('an error of the HTTP client shows neither credentials nor what was sent or answered', async (t) => {
  const server = createServer((_request, response) => response.writeHead(500, { 'x-key': 'SECRET' }).end('SECRET'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { log, lines } = capture('trace');
  await assert.rejects(
    got.post(`http://user:SECRET@127.0.0.1:${port}/orders?api_key=SECRET`, {
      headers: { 'x-api-key': 'SECRET' },
      body: '{"customer":"SECRET"}',
      retry: { limit: 0 },
    }),
    (error: unknown) => {
      log.logger.error({ err: error, reason: String(error) }, `failed: ${String(error)}`);
      return true;
    },
  );
  assert.match(lines.join(''), /ERR_NON_2XX_3XX_RESPONSE/);
  assert.doesNotMatch(lines.join(''), /SECRET/);
});

test('what JSON.parse quotes of a body is not shown', () => {
  const { log, lines } = capture('debug');
  for (const body of [
    '{"customer": Ann Smith}',
    `${'x'.repeat(50)} Ann Smith ${'x'.repeat(50)}`,
    '"Ann Smith" "and"',
  ]) {
    assert.throws(
      () => JSON.parse(body),
      (error: unknown) => {
        log.logger.warn({ err: error, reason: String(error) }, String(error));
        return true;
      },
    );
  }
  assert.doesNotMatch(lines.join(''), /Ann|Smith|xxxx/);
});

test('a thread’s lines are redacted there and pass through the log as they are', () => {
  const { log, lines, last } = capture();
  const logger = createThreadLogger({
    level: 'info',
    fields: ['posVersion'],
    bindings: { shard: 3 },
    write: (line) => log.write(line),
  });
  logger
    .child({ merchant: 'm-1' })
    .info({ posVersion: '7', customer: 'Ann', address: '1 Elm St', counts: { Ann: 1 } }, 'from a thread');
  logger.debug('below the level');
  assert.equal(lines.length, 1);
  const { shard, merchant, posVersion, customer, address, counts, msg } = last();
  assert.deepEqual([shard, merchant, posVersion, msg], [3, 'm-1', '7', 'from a thread']);
  assert.deepEqual([customer, address, counts], Array(3).fill('[redacted]'), 'a name of ours is as well one of theirs');
});

test('pretty lines are one line each, those of threads included', () => {
  const { log, lines } = capture('info', [], 'pretty');
  log.logger.info({ queue: 'orders' }, 'ready');
  log.logger.error({ err: new Error('no') }, 'failed');
  const thread = createThreadLogger({
    level: 'info',
    fields: [],
    bindings: { shard: 3 },
    write: (line) => log.write(line),
  });
  thread.warn('late');
  const shapes = [
    /INFO: ready \{"queue":"orders"\}\n$/,
    /ERROR: failed \{"err":.*"no"\}\}\n$/,
    /WARN: late \{"shard":3\}\n$/,
  ];
  assert.equal(lines.length, shapes.length);
  for (const [at, shape] of shapes.entries()) {
    assert.match(lines[at] as string, shape);
    assert.equal(lines[at]?.split('\n').length, 2);
  }
});

/** A process that writes 64 MB of log lines at once, then runs `then`. */
function flood(then: string, stdout: 'pipe' | number = 'pipe'): ChildProcess {
  const source = `
    import { createLog } from ${JSON.stringify(new URL('../src/log.ts', import.meta.url).href)};
    const log = createLog({ level: 'info', format: 'json', fields: [] });
    const reason = 'x'.repeat(1000);
    for (let i = 0; i < 64_000; i++) log.logger.info({ reason }, 'line');
    process.stderr.write(log.dropped + ' dropped\\n');
    ${then}`;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', source];
  return spawn(process.execPath, args, { stdio: ['ignore', stdout, 'pipe'] });
}

test('a reader that never reads holds up neither the writing nor the exit', async () => {
  for (const last of ['await log.flush(); process.exit(7);', 'process.exit(7);']) {
    const child = flood(last);
    const [[code], err] = await Promise.all([once(child, 'exit') as Promise<[number]>, text(child.stderr as Readable)]);
    assert.equal(code, 7);
    assert.ok(Number.parseInt(err, 10) > 40_000, err);
    child.stdout?.destroy();
  }
});

test('dropped lines are counted and reported once, when the reader reads again', async (t) => {
  const child = flood('setInterval(() => {}, 1000);');
  t.after(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stderr as Readable, 'data')) as [Buffer];
  const dropped = Number.parseInt(said.toString(), 10);
  let lines = 0;
  const reports: unknown[] = [];
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    const entry = JSON.parse(line) as { msg: string; dropped?: number };
    if (entry.msg === 'line') lines += 1;
    else {
      reports.push(entry.dropped);
      child.kill('SIGKILL');
    }
  }
  assert.deepEqual(reports, [dropped]);
  assert.equal(lines + dropped, 64_000);
});

test('a reader that goes away ends neither the process nor its work', async () => {
  const child = flood('await log.flush(); log.logger.info("on"); await log.flush(); process.exit(7);');
  child.stdout?.destroy();
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 7);
});

test('a full disk is said once on standard error and does not hold up the exit', async () => {
  const full = openSync('/dev/full', 'w');
  const child = flood('await log.flush(); log.logger.info("on"); process.exit(7);', full);
  closeSync(full);
  const [[code], err] = await Promise.all([once(child, 'exit') as Promise<[number]>, text(child.stderr as Readable)]);
  assert.equal(code, 7);
  assert.equal(err.match(/orderlane: the log cannot be written: ENOSPC/g)?.length, 1);
});

test('a reason among the figures is cleaned like any other text', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'info', format: 'json', fields: [], destination: (text) => lines.push(text) });
  log.logger.info(
    { slowest: [{ merchant: 'm', waiting: 2, failure: 'no https://me:secret@pos.example/x?token=secret' }] },
    'stats',
  );
  const { slowest } = JSON.parse(lines.join('')) as { slowest: unknown };
  const failure = 'no https://[redacted]@pos.example/x?[redacted]';
  assert.deepEqual(slowest, [{ merchant: 'm', waiting: 2, failure }]);
});

test('an ID of any length is shown by its beginning', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'info', format: 'json', fields: [], destination: (text) => lines.push(text) });
  log.logger.info({ merchant: 'm', order: 'o'.repeat(5_000) }, 'dead-lettered');
  const { merchant, order } = JSON.parse(lines.join('')) as { merchant: string; order: string };
  assert.deepEqual([merchant, order], ['m', `${'o'.repeat(199)}…`]);
});
