import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { summary, supervise } from '../../src/cli/work.ts';
import { OrderlaneError } from '../../src/errors.ts';
import { createLog, type Log } from '../../src/log.ts';
import { SETTINGS } from '../../src/option-table.ts';
import { completeOptions } from '../../src/options.ts';
import type { Ended, Running } from '../../src/run.ts';
import { defaultText } from '../../src/setting.ts';
import type { Stats } from '../../src/stats.ts';
import { launch, orderlane } from './command-line.ts';

const OPTIONS = completeOptions({ url: 'https://pos.example.com/' });
const NOBODY = 'amqp://127.0.0.1:1';

const STATS: Stats = {
  received: 12,
  overAge: 0,
  outcomes: {
    delivered: 8,
    rejected: 2,
    malformed: 0,
    'not-sent': 0,
    ambiguous: 1,
    throttled: 0,
    deferred: 0,
    expired: 1,
    failed: 0,
  },
  retried: 1,
  deferred: 0,
  deadLettered: {
    rejected: 2,
    malformed: 0,
    expired: 1,
    'handler-error': 0,
    'max-attempts': 0,
    'thread-crash': 0,
    'process-crash': 0,
    ambiguous: 0,
  },
  parked: 0,
  joined: 0,
  inFlight: 3,
  waiting: 2,
  unsettled: 5,
  unsettledBytes: 100,
  onLadder: 0,
  merchants: 1,
  shards: [],
  slowest: [],
};

/** A run that notes what it was told, and ends when the test says so. */
class FakeRun implements Running {
  readonly told: string[] = [];
  readonly #ended = Promise.withResolvers<Ended>();
  readonly #told = new Map<string, () => void>();
  readonly done = this.#ended.promise;

  drain(): void {
    this.told.push('drain');
    this.#told.get('drain')?.();
  }

  stop(): void {
    this.told.push('stop');
    this.#told.get('stop')?.();
  }

  stats(): Stats {
    return STATS;
  }

  end(ended: Partial<Ended> = {}): void {
    this.#ended.resolve({ unfinished: 0, timedOut: false, stuck: false, stats: STATS, ...ended });
  }

  on(what: 'drain' | 'stop', then: () => void): this {
    this.#told.set(what, then);
    return this;
  }
}

function capture(): { log: Log; messages: () => string[] } {
  const lines: string[] = [];
  const log = createLog({ level: 'info', format: 'json', fields: [], destination: (line) => lines.push(line) });
  return { log, messages: () => lines.map((line) => (JSON.parse(line) as { msg: string }).msg) };
}

test('a run that ends by itself is clean and summed up in one line', async () => {
  const { log, messages } = capture();
  const run = new FakeRun();
  run.end();
  assert.equal(await supervise(() => Promise.resolve(run), OPTIONS, log), 0);
  assert.deepEqual(messages(), ['ended: 12 received, 8 delivered, 1 retried, 3 dead-lettered (2 rejected, 1 expired)']);
  assert.equal(process.listenerCount('SIGTERM'), 0);
});

test('the first signal drains and says what is waited for; ended in time is clean, too late is not', async () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    for (const [ended, code] of [
      [{}, 0],
      [{ timedOut: true, unfinished: 3 }, 4],
    ] as const) {
      const { log, messages } = capture();
      const run = new FakeRun().on('drain', () => run.end(ended));
      const over = supervise(() => Promise.resolve(run), OPTIONS, log);
      await Promise.resolve().then(() => new Promise(setImmediate));
      process.emit(signal, signal);
      assert.equal(await over, code);
      assert.deepEqual(run.told, ['drain']);
      assert.match(messages()[0] as string, /waits up to 25s for 3 in flight; a second signal stops at once/);
      if (code === 4) assert.match(messages().at(-1) as string, /, 3 unfinished when the time was up$/);
    }
  }
});

test('the second signal stops, with the code of a fatal end, even when nothing comes of it', async () => {
  for (const ends of [true, false]) {
    const { log } = capture();
    const run = new FakeRun().on('stop', () => {
      if (ends) run.end();
    });
    const over = supervise(() => Promise.resolve(run), OPTIONS, log);
    await new Promise(setImmediate);
    process.emit('SIGTERM', 'SIGTERM');
    process.emit('SIGINT', 'SIGINT');
    assert.equal(process.listenerCount('SIGINT'), 0, 'a third one ends the process by itself');
    assert.equal(await over, 1);
    assert.deepEqual(run.told, ['drain', 'stop']);
  }
});

test('a signal while starting is obeyed as soon as the start is over', async () => {
  const { log } = capture();
  const run = new FakeRun().on('drain', () => run.end());
  const started = Promise.withResolvers<Running>();
  const over = supervise(() => started.promise, OPTIONS, log);
  process.emit('SIGTERM', 'SIGTERM');
  started.resolve(run);
  assert.equal(await over, 0);
  assert.deepEqual(run.told, ['drain']);
});

test('what ended a run is thrown after the summary', async () => {
  const { log, messages } = capture();
  const run = new FakeRun();
  const error = new OrderlaneError('SHARD', 'no thread can be started');
  run.end({ error });
  await assert.rejects(
    supervise(() => Promise.resolve(run), OPTIONS, log),
    error,
  );
  assert.equal(messages().length, 1);
});

test('the summary leaves out what did not happen', () => {
  const stats = { ...STATS, retried: 0, deadLettered: { ...STATS.deadLettered, rejected: 0, expired: 0 } };
  assert.equal(summary({ stats, unfinished: 0, timedOut: false, stuck: false }), 'ended: 12 received, 8 delivered');
  assert.equal(
    summary({ stats, unfinished: 2, timedOut: false, stuck: false }),
    'ended: 12 received, 8 delivered, 2 unfinished',
  );
});

test('help has every setting with its default, fits 100 columns and gives no type a person must decode', async () => {
  const { code, out, err } = await orderlane(['work', '--help']);
  assert.deepEqual([code, err], [0, '']);
  const flat = out.replace(/\s+/g, ' ');
  for (const setting of Object.values(SETTINGS)) {
    const { name, alias, describe } = setting;
    const fallback = defaultText(setting);
    const shown = fallback === undefined ? describe : `${describe} (default: ${fallback})`;
    assert.ok(flat.includes(`${alias === undefined ? '' : `-${alias}, `}--${name} ${shown}`), name);
  }
  for (const group of ['Broker:', 'Merchants:', 'Isolation:', 'Attempts:', 'Start and stop:', 'Log:', 'Exit codes:']) {
    assert.match(out, new RegExp(`^${group}$`, 'm'));
  }
  for (const line of out.split('\n')) assert.ok(line.length <= 100, line);
  assert.doesNotMatch(out, /\[string\]|\[number\]|\[array\]/);
});

test('a bad value is a usage error that names flag, variable or file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'orderlane-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = join(folder, 'c.json');
  writeFileSync(config, JSON.stringify({ deadline: 'never', url: 'https://pos.example.com/' }));
  const { code, out, err } = await orderlane(['work', '-c', 'many'], {
    ORDERLANE_TIMEOUT: '15',
    ORDERLANE_CONFIG: config,
    ORDERLANE_PORT: 'tcp://10.0.0.1:80',
  });
  assert.deepEqual([code, out], [2, '']);
  const [, ...problems] = err.trimEnd().split('\n');
  assert.equal(problems.length, 3, err);
  assert.match(err, /^ {2}--concurrency: expected a whole number .*; got "many"$/m);
  assert.match(err, /^ {2}ORDERLANE_TIMEOUT: expected a duration .*; got "15"$/m);
  assert.match(err, /^ {2}deadline in .*c\.json: expected a duration .*; got "never"$/m);
});

test('a misspelt variable is said once and ignored', async () => {
  const { code, err } = await orderlane(['work'], { ORDERLANE_QUEU: 'x' });
  assert.equal(code, 2);
  assert.deepEqual(err.trimEnd().split('\n'), [
    'orderlane: ORDERLANE_QUEU is no setting and is ignored. Did you mean ORDERLANE_QUEUE?',
    'orderlane: nothing says where orders go: expected --merchants FILE, --url URL or --handler FILE; got none',
  ]);
});

test('lists may be repeated on the command line, and of other options the last one counts', async () => {
  const brokers = ['--broker', 'http://bad', '--broker', 'amqp://good'];
  const { code, err } = await orderlane(['work', ...brokers, '--timeout', 'bad', '--timeout', '1s']);
  assert.equal(code, 2);
  const [, ...problems] = err.trimEnd().split('\n');
  assert.equal(problems.length, 2, err);
  assert.match(err, /^ {2}--broker: expected .*; got "http:\/\/bad"$/m);
  assert.match(err, /^ {2}nothing says where orders go: /m);
});

test('a broker that cannot be reached is its own exit code and one message without the password', async () => {
  const { code, err } = await orderlane([
    'work',
    '--url',
    'https://pos.example.com/',
    '-b',
    'amqp://user:hunter2@127.0.0.1:1',
    '--connect-wait',
    '0s',
  ]);
  assert.equal(code, 3);
  assert.match(err, /^orderlane: [^\n]*127\.0\.0\.1[^\n]*\n$/);
  assert.doesNotMatch(err, /hunter2/);
});

test('a signal while the broker is awaited ends the process cleanly', async () => {
  const child = launch(['work', '--url', 'https://pos.example.com/', '-b', NOBODY, '--connect-wait', '10m']);
  const exit = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    if (line.includes('waiting for the broker')) child.kill('SIGTERM');
  }
  assert.deepEqual(await exit, [0, null]);
});
