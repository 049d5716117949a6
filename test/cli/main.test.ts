import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT, exitCodeOf } from '../../src/cli/exit-codes.ts';
import { OrderlaneError } from '../../src/errors.ts';
import { launch, orderlane } from './command-line.ts';

const BIN = fileURLToPath(new URL('../../bin/orderlane', import.meta.url));

test('every kind of error has its exit code, and an unexpected one is fatal', () => {
  assert.equal(exitCodeOf(new OrderlaneError('USAGE', '')), 2);
  assert.equal(exitCodeOf(new OrderlaneError('BROKER_UNREACHABLE', '')), 3);
  assert.equal(exitCodeOf(new OrderlaneError('BROKER_REFUSED', '')), 1);
  assert.equal(exitCodeOf(new OrderlaneError('SHARD', '')), 1);
  assert.equal(exitCodeOf(new TypeError('')), 1);
  assert.equal(EXIT.drainTimedOut.code, 4);
});

test('without a command, help goes to standard error and the code is that of a usage error', async () => {
  const { code, out, err } = await orderlane([]);
  assert.equal(code, 2);
  assert.equal(out, '');
  for (const command of ['work', 'publish', 'dlq', 'merchants', 'demo'])
    assert.match(err, new RegExp(`^ {2}orderlane ${command} `, 'm'));
});

test("help ends well beside a command's own words too", async () => {
  const { code, out, err } = await orderlane(['dlq', 'ls', '--help']);
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /^Usage: orderlane dlq /);
});

test('help is on standard output, is clean, and lists commands and exit codes', async () => {
  for (const args of [['--help'], ['-h'], ['help']]) {
    const { code, out, err } = await orderlane(args);
    assert.deepEqual([code, err], [0, '']);
    for (const row of Object.values(EXIT)) assert.ok(out.includes(`  ${row.code}  ${row.when}`), row.when);
  }
});

test('--version is the package’s', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.deepEqual(await orderlane(['--version']), { code: 0, out: `${version}\n`, err: '' });
});

test('a misspelt option, command or word is a usage error that proposes the nearest', async () => {
  for (const [args, message] of [
    [['work', '--concurency', '5'], 'Unknown option --concurency. Did you mean --concurrency?'],
    [['work', '--log_level', 'debug'], 'Unknown option --log_level. Did you mean --log-level?'],
    [['work', '--zzz'], 'Unknown option --zzz.'],
    [['work', '-z'], 'Unknown option -z.'],
    [['work', '--a.b', '1'], 'Unknown option --a.b.'],
    [['wrok'], 'Unknown command wrok. Did you mean work?'],
    [['work', 'orders'], 'Unexpected argument "orders".'],
    [['work', '--', 'orders'], 'Unexpected argument "orders".'],
    [['work', '--queue'], '--queue: expected a value; got none'],
    [['work', '-c'], '-c: expected a value; got none'],
    [['work', '--queue', '--drain'], '--queue: expected a value; got none'],
  ] as const) {
    assert.deepEqual(await orderlane(args), { code: 2, out: '', err: `orderlane: ${message}\n` }, args.join(' '));
  }
});

test('several problems of a command line are shown together', async () => {
  const { code, err } = await orderlane(['work', '--timout', '3s', '--queu', 'x']);
  assert.equal(code, 2);
  assert.deepEqual(err.trimEnd().split('\n'), [
    'orderlane: 2 problems with the command line:',
    '  Unknown option --timout. Did you mean --timeout?',
    '  Unknown option --queu. Did you mean --queue?',
  ]);
});

test('a stack is shown only at log level debug, by flag or by environment', async () => {
  const bad = ['work', '--url', 'nowhere'];
  for (const [args, env] of [
    [bad, {}],
    [[...bad, '--log-level', 'info'], { ORDERLANE_LOG_LEVEL: 'debug' }],
  ] as const) {
    const { code, err } = await orderlane(args, env);
    assert.equal(code, 2);
    assert.match(err, /^orderlane: --url: expected [^\n]*; got "nowhere"\n$/);
  }
  for (const [args, env] of [
    [[...bad, '--log-level', 'debug'], {}],
    [[...bad, '--log-level=trace'], {}],
    [[...bad, '-l', 'debug'], {}],
    [bad, { ORDERLANE_LOG_LEVEL: 'debug' }],
  ] as const) {
    const { code, err } = await orderlane(args, env);
    assert.equal(code, 2);
    assert.match(err, /^orderlane: OrderlaneError: --url: expected .*\n {4}at /);
  }
});

test('an error that nobody caught is fatal: one message, and a stack only at debug', async () => {
  const work = ['work', '--url', 'https://pos.example.com/', '-b', 'amqp://127.0.0.1:1', '--connect-wait', '10m'];
  for (const fault of ["throw new Error('boom')", "void Promise.reject(new Error('boom'))"]) {
    for (const [level, message] of [
      ['info', /^orderlane: boom\n$/],
      ['debug', /^orderlane: Error: boom\n {4}at /],
    ] as const) {
      // Strikes as soon as the program listens for such errors.
      const script = `const timer = setInterval(() => {
        if (process.listenerCount('uncaughtException') === 0) return;
        clearInterval(timer);
        ${fault};
      }, 1)`;
      const preload = `data:text/javascript,${encodeURIComponent(script)}`;
      const { code, err } = await orderlane([...work, '-l', level], { NODE_OPTIONS: `--import=${preload}` });
      assert.equal(code, 1);
      assert.match(err, message);
    }
  }
});

test('a reader of standard output that has had enough is no error', async () => {
  const child = launch(['work', '--help']);
  child.stdout?.destroy();
  const [[code], err] = await Promise.all([once(child, 'exit') as Promise<[number]>, text(child.stderr as Readable)]);
  assert.deepEqual([code, err], [0, '']);
});

test('bin/orderlane works through a symlink from anywhere and keeps the exit code', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'orderlane-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const link = join(folder, 'orderlane');
  symlinkSync(BIN, link);
  const good = spawnSync(link, ['--version'], { cwd: folder, encoding: 'utf8' });
  assert.deepEqual([good.status, good.stderr], [0, '']);
  assert.equal(spawnSync(link, ['wrok'], { cwd: folder }).status, 2);
});

test('bin/orderlane without its packages or a Node says what to run', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'orderlane-'));
  t.after(() => rmSync(folder, { recursive: true }));
  assert.equal(spawnSync('mkdir', ['-p', join(folder, 'bin')]).status, 0);
  const copy = join(folder, 'bin', 'orderlane');
  writeFileSync(copy, readFileSync(BIN), { mode: 0o755 });
  const withNode = { PATH: `${join(process.execPath, '..')}:/usr/bin:/bin` };
  const unpacked = spawnSync(copy, [], { encoding: 'utf8', env: withNode });
  assert.equal(unpacked.status, 1);
  assert.match(unpacked.stderr, /^orderlane: its packages are not installed\. Run: make -C '.*' setup\n$/);
  const old = join(folder, 'node');
  writeFileSync(old, '#!/bin/sh\necho v22.21.9\n', { mode: 0o755 });
  const outdated = spawnSync(copy, [], { encoding: 'utf8', env: { PATH: `${folder}:/usr/bin:/bin` } });
  assert.equal(outdated.status, 1);
  assert.match(
    outdated.stderr,
    /^orderlane: expected Node 22\.22 or newer; got v22\.21\.9\. Run: make -C '.*' setup\n$/,
  );
});
