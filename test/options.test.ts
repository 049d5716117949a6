import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatDuration } from '../src/duration.ts';
import { OrderlaneError } from '../src/errors.ts';
import { SETTINGS } from '../src/option-table.ts';
import {
  completeOptions,
  DEFAULTS,
  environmentName,
  misspelledVariables,
  type Options,
  readConfigFile,
  resolveOptions,
} from '../src/options.ts';
import { type Setting, withoutPassword } from '../src/setting.ts';

const URL_FLAG = { url: 'https://pos.example.com/{merchantId}/orders' };
const ALL: readonly (readonly [keyof Options, Setting])[] = Object.entries(SETTINGS) as [keyof Options, Setting][];

/** The message of the usage error that must come. */
function refusal(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    assert.ok(error instanceof OrderlaneError);
    assert.equal(error.code, 'USAGE');
    return error.message;
  }
  return assert.fail('expected a refusal');
}

function flagRefusal(flags: Readonly<Record<string, unknown>>): string {
  return refusal(() => resolveOptions({ ...URL_FLAG, ...flags }, {}));
}

test('with a URL alone, everything else is at its documented default', () => {
  const options = resolveOptions(URL_FLAG, {});
  assert.deepEqual(options, { ...DEFAULTS, ...URL_FLAG });
  assert.equal(options.concurrency, 4000);
  assert.equal(options.prefetch, 30_000);
  assert.equal(options.windowBytes, 256 * 2 ** 20);
  assert.equal(options.maxMessageBytes, 2 ** 20);
  assert.equal(options.timeoutMs, 15_000);
  assert.equal(options.connectTimeoutMs, 3000);
  assert.equal(options.deadlineMs, 600_000);
  assert.equal(options.shutdownTimeoutMs, 25_000);
  assert.ok(options.shards >= 2 && options.shards <= 8);
});

test('a flag goes before the environment, the environment before the file, the file before the default', () => {
  const file = { path: 'c.json', values: { queue: 'file', timeout: '3s', prefetch: 5, drain: true, backoff: '2s' } };
  const env = { ORDERLANE_QUEUE: 'env', ORDERLANE_TIMEOUT: '4s', ORDERLANE_DRAIN: 'false' };
  const options = resolveOptions({ ...URL_FLAG, queue: 'flag' }, env, file);
  assert.equal(options.queue, 'flag');
  assert.equal(options.timeoutMs, 4000);
  assert.equal(options.drain, false);
  assert.equal(options.prefetch, 5);
  assert.equal(options.backoffMs, 2000);
  assert.equal(options.maxAttempts, 6);
});

test('every default lies in its own range and reads back from the text that help shows', () => {
  for (const [key, setting] of ALL) {
    if (!('min' in setting)) continue;
    assert.ok(setting.default >= setting.min && setting.default <= setting.max, key);
    const text = setting.type === 'duration' ? formatDuration(setting.default) : String(setting.default);
    assert.equal(resolveOptions({ ...URL_FLAG, [setting.name]: text }, {})[key], setting.default, key);
  }
});

test('every setting can be a flag, a variable or a key of the file, and its error says which it was', () => {
  for (const [key, setting] of ALL) {
    const { name } = setting;
    const names = (source: string): RegExp => new RegExp(`(^|\\n  )${source}: expected .*; got `);
    const bad = setting.type === 'file' ? '' : '\u0001';
    assert.match(
      refusal(() => resolveOptions({ [name]: bad }, {})),
      names(`--${name}`),
      key,
    );
    // Any text is the name of a file; the empty one is no variable.
    if (setting.type !== 'file') {
      const variable = environmentName(name);
      assert.match(
        refusal(() => resolveOptions({}, { [variable]: bad })),
        names(variable),
        key,
      );
    }
    const file = { path: '/etc/o.json', values: { [name]: { not: 'a value' } } };
    assert.match(
      refusal(() => resolveOptions({}, {}, file)),
      names(`${name} in /etc/o\\.json`),
      key,
    );
  }
});

test('all problems come together, one a line', () => {
  const message = refusal(() =>
    resolveOptions(
      { timeout: '15 parsecs', concurrency: '0' },
      { ORDERLANE_PREFETCH: '70000' },
      { path: 'c.json', values: { backof: '1s', 'log-level': 'loud' } },
    ),
  );
  assert.deepEqual(message.split('\n'), [
    '6 problems with the settings:',
    '  ORDERLANE_PREFETCH: expected a whole number from 1 to 65535, such as 30000; got "70000"',
    '  --concurrency: expected a whole number from 1 to 65535, such as 4000 (no more can be unsettled); got "0"',
    '  --timeout: expected a duration from 10ms to 25m, such as 15s; got "15 parsecs"',
    '  log-level in c.json: expected one of fatal, error, warn, info, debug, trace, silent; got "loud"',
    '  backof in c.json: no such setting. Did you mean backoff?',
    '  nothing says where orders go: expected --merchants FILE, --url URL or --handler FILE; got none',
  ]);
});

test('numbers and durations in odd spellings are refused, not guessed at', () => {
  for (const [name, value] of [
    ['timeout', '15'],
    ['timeout', '-1s'],
    ['concurrency', '1e3'],
    ['concurrency', '0x10'],
    ['concurrency', '10.5'],
    ['concurrency', 'NaN'],
    ['concurrency', ''],
    ['window-bytes', '1 potato'],
    ['drain', 'yes'],
    ['merchant-key', 'merchant_id'],
    ['merchant-key', '/a~2'],
    ['queue', 'amq.orders'],
    ['queue', false],
    ['url', 'ftp://pos.example.com/'],
    ['url', 'https://pos.example.com/{merchant}'],
    ['allow-host', 'http://pos.internal/'],
    ['log-fields', 'level'],
    ['merchant-rate', '10'],
    ['merchant-rate', '0/s'],
    ['broker', 'localhost:5672'],
    ['broker', 'http://localhost'],
  ] as const) {
    assert.match(flagRefusal({ [name]: value }), new RegExp(`^--${name}: expected `), `${name} ${value}`);
  }
});

test('a URL or a host that could not be used is refused with its source and what was expected, and without credentials', () => {
  for (const [key, name, value, expectation, got] of [
    [
      'url',
      'url',
      'https://me:hunter2@pos.example.com/',
      'an http or https URL .*no user name or password',
      'https://***@',
    ],
    ['url', 'url', 'https://pos.example.com/a#b', 'an http or https URL .*no # in it', 'https://pos.example.com/a#b'],
    ['url', 'url', 'https:pos.example.com', 'an http or https URL', 'https:'],
    ['url', 'url', 'https://pos.example.com:{merchantId}/', 'an http or https URL', 'https://pos.example.com:'],
    ['allowHost', 'allow-host', '*', 'a host, host:port or \\*\\.suffix', '*'],
    ['allowHost', 'allow-host', 'a:99999', 'a host, host:port', 'a:99999'],
    ['allowHost', 'allow-host', '*.127.0.0.1', 'a host, host:port', '*.127.0.0.1'],
    ['allowHost', 'allow-host', 'a.*.b', 'a host, host:port', 'a.*.b'],
  ] as const) {
    const variable = environmentName(name);
    const whole = key === 'url' ? value : ['pos.internal', value];
    for (const [source, message] of [
      [`--${name}`, refusal(() => resolveOptions({ ...URL_FLAG, [name]: value }, {}))],
      [variable, refusal(() => resolveOptions(key === 'url' ? {} : URL_FLAG, { [variable]: value }))],
      [
        `${name} in c.json`,
        refusal(() => resolveOptions({}, {}, { path: 'c.json', values: { ...URL_FLAG, [name]: whole } })),
      ],
      [key, refusal(() => completeOptions({ ...URL_FLAG, [key]: whole }))],
    ] as const) {
      assert.match(
        message,
        new RegExp(`^${source}: expected (?:an array, each entry )?${expectation}.*; got "`),
        value,
      );
      assert.ok(message.includes(`; got "${got}`), message);
      assert.doesNotMatch(message, /hunter2/);
    }
  }
});

test('a deadline beyond what RabbitMQ lets a consumer hold is refused with the reason', () => {
  const message = flagRefusal({ deadline: '29m' });
  assert.match(message, /^--deadline: expected a duration from 10ms to 25m, .*consumer_timeout.*; got "29m"$/);
});

test('lists are comma-separated, repeated, or arrays in a file', () => {
  const values = { 'allow-host': ['a', 'b'] };
  assert.deepEqual(resolveOptions(URL_FLAG, {}, { path: 'c', values }).allowHost, ['a', 'b']);
  assert.deepEqual(resolveOptions({ ...URL_FLAG, 'allow-host': ['a,b', 'c'] }, {}).allowHost, ['a', 'b', 'c']);
  assert.deepEqual(resolveOptions(URL_FLAG, { ORDERLANE_BROKER: 'amqp://a, amqps://b:5671' }).broker, [
    'amqp://a',
    'amqps://b:5671',
  ]);
});

test('a comma in a broker password does not end the address', () => {
  assert.deepEqual(resolveOptions({ ...URL_FLAG, broker: 'amqp://u:a,b@h1,amqp://h2' }, {}).broker, [
    'amqp://u:a,b@h1',
    'amqp://h2',
  ]);
});

test('of a flag that is given twice the last one counts', () => {
  assert.equal(resolveOptions({ ...URL_FLAG, queue: ['a', 'b'] }, {}).queue, 'b');
});

test('files that a config file names are relative to it; those of flags are not', () => {
  const file = { path: '/etc/orderlane/c.json', values: { merchants: 'm.json', handler: '/opt/h.ts' } };
  const options = resolveOptions({ 'broker-ca': 'ca.pem', broker: 'amqps://h' }, {}, file);
  assert.equal(options.merchants, '/etc/orderlane/m.json');
  assert.equal(options.handler, '/opt/h.ts');
  assert.equal(options.brokerCa, 'ca.pem');
});

test('an empty variable is unset, and switches take true, false, 1 and 0', () => {
  const options = resolveOptions(URL_FLAG, { ORDERLANE_QUEUE: '', ORDERLANE_DRAIN: '1' });
  assert.equal(options.queue, 'orders');
  assert.equal(options.drain, true);
  assert.equal(resolveOptions({ ...URL_FLAG, drain: false }, { ORDERLANE_DRAIN: 'true' }).drain, false);
});

test('variables that are not ours are nobody’s business, whatever they hold', () => {
  const env = { ORDERLANE_PORT: 'tcp://10.0.0.1:80', ORDERLANE_SERVICE_HOST: '10.0.0.1', ORDERLANE_BROKER_PORT: 'x' };
  assert.deepEqual(resolveOptions(URL_FLAG, env), resolveOptions(URL_FLAG, {}));
  assert.deepEqual(
    misspelledVariables({ ...env, ORDERLANE_TIMEOUT: '1s', ORDERLANE_CONFIG: 'c', ORDERLANE_THEME: 'x' }),
    [],
  );
});

test('a variable that is nearly ours gets a hint without its value', () => {
  assert.deepEqual(misspelledVariables({ ORDERLANE_TIMOUT: 'secret' }), [
    'ORDERLANE_TIMOUT is no setting and is ignored. Did you mean ORDERLANE_TIMEOUT?',
  ]);
});

test('settings that contradict each other are named, both with value and source', () => {
  for (const [flags, expected] of [
    [{ timeout: '30s' }, /^--timeout \(30s\) is more than --shutdown-timeout \(25s, the default\): /],
    [{ timeout: '20s', deadline: '10s' }, /^--timeout \(20s\) is more than --deadline \(10s\): /],
    [{ timeout: '1s', 'connect-timeout': '2s' }, /^--connect-timeout \(2s\) is more than --timeout \(1s\): /],
    [{ 'breaker-wait': '2m' }, /^--breaker-wait \(2m\) is more than --breaker-max-wait \(1m, the default\): /],
    [{ backoff: '2m' }, /^--backoff \(2m\) is more than --backoff-max \(1m, the default\): /],
    [{ 'window-bytes': '1KiB' }, /^--max-message-bytes \(1MiB, the default\) is more than --window-bytes \(1KiB\): /],
    [{ 'broker-cert': 'c', broker: 'amqps://h' }, /^--broker-cert \(c\) and --broker-key go together: /],
    [{ 'broker-ca': 'c' }, /^--broker \(amqp:\/\/localhost, the default\): expected an amqps:\/\/ address/],
    [{ merchants: 'm' }, /^--merchants \(m\) and --url \(.*\): expected one of the two; got both$/],
  ] as const) {
    assert.match(flagRefusal(flags), expected);
  }
  assert.match(
    refusal(() => resolveOptions(URL_FLAG, { ORDERLANE_TIMEOUT: '1m', ORDERLANE_SHUTDOWN_TIMEOUT: '30s' })),
    /^ORDERLANE_TIMEOUT \(1m\) is more than ORDERLANE_SHUTDOWN_TIMEOUT \(30s\): /,
  );
});

test('a value that cannot be read is not also said to contradict another', () => {
  assert.match(flagRefusal({ 'shutdown-timeout': 'soon' }), /^--shutdown-timeout: expected [^\n]*$/);
});

test('a short time-out shortens the default time to connect', () => {
  assert.equal(resolveOptions({ ...URL_FLAG, timeout: '2s' }, {}).connectTimeoutMs, 2000);
});

test('a handler goes alone, with a directory or with a URL', () => {
  for (const flags of [{ handler: 'h.ts' }, { handler: 'h.ts', merchants: 'm' }, { handler: 'h.ts', ...URL_FLAG }]) {
    assert.equal(resolveOptions(flags, {}).handler, 'h.ts');
  }
});

test('no message shows a broker password, wherever it stands', () => {
  for (const address of [
    'amqp://user:hunter2@host:5672x',
    'http://user:hunter2@host',
    'amqp://user:hunter2',
    'amqp:user:hunter2@host',
    'user:hunter2@host',
    'amqp://user:hun/ter2@host',
    'amqp://user:12:hunter2',
  ]) {
    const shown = [
      flagRefusal({ broker: address }),
      refusal(() => resolveOptions(URL_FLAG, { ORDERLANE_BROKER: address })),
      refusal(() => completeOptions({ url: 'https://h', broker: [address] })),
      flagRefusal({ 'broker-ca': 'c', broker: 'amqp://user:hunter2@host' }),
    ].join('\n');
    assert.doesNotMatch(shown, /hunter2|ter2@/, address);
  }
  assert.equal(withoutPassword('amqp://user:pw@host:5672/v'), 'amqp://***@host:5672/v');
  assert.equal(withoutPassword('localhost:5672'), 'localhost:5672');
});

test('a config file that cannot be used is named with what is wrong', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'orderlane-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'c.json');
  assert.match(
    refusal(() => readConfigFile(path)),
    /^config file .*c\.json cannot be read: ENOENT/,
  );
  writeFileSync(path, '{"queue": }');
  assert.match(
    refusal(() => readConfigFile(path)),
    /^config file .*c\.json is not JSON/,
  );
  writeFileSync(path, '[]');
  assert.match(
    refusal(() => readConfigFile(path)),
    /expected an object such as \{"queue": "orders"\}; got \[\]$/,
  );
  writeFileSync(path, '{"queue": "from-file"}');
  assert.equal(resolveOptions(URL_FLAG, {}, readConfigFile(path)).queue, 'from-file');
});

test('in a library, options are checked in the same way and named as in code', () => {
  assert.deepEqual(completeOptions(URL_FLAG), resolveOptions(URL_FLAG, {}));
  const message = refusal(() =>
    completeOptions({ ...URL_FLAG, timeoutMs: 30_000, prefetch: 0, queu: 'x' } as Partial<Options>),
  );
  assert.match(message, /prefetch: expected a whole number from 1 to 65535, such as 30000; got 0/);
  assert.match(message, /queu: no such option\. Did you mean queue\?/);
  assert.match(message, /timeoutMs \(30s\) is more than shutdownTimeoutMs \(25s, the default\)/);
});

test("--outcomes without a value means each order's end", () => {
  const outcomes = (flags: object, env = {}) => resolveOptions({ ...URL_FLAG, ...flags }, env).outcomes;
  assert.equal(outcomes({}), 'off');
  assert.equal(outcomes({ outcomes: true }), 'final');
  assert.equal(outcomes({ outcomes: 'all' }, { ORDERLANE_OUTCOMES: 'final' }), 'all');
  assert.equal(outcomes({}, { ORDERLANE_OUTCOMES: 'final' }), 'final');
  assert.match(flagRefusal({ outcomes: 'every' }), /^--outcomes: expected one of off, final, all; got "every"$/);
  assert.match(flagRefusal({ declare: true }), /^--declare: expected one of create, passive; got true$/);
});
