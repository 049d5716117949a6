import assert from 'node:assert/strict';
import fs, { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { OrderlaneError } from '../../src/errors.ts';
import { Directory, type DirectorySource } from '../../src/merchant/directory.ts';
import { BREAKER } from '../../src/order.ts';

const LIMITS = { allowHosts: [], timeoutMs: 15_000, concurrency: 50 };
const URL_TEMPLATE = 'https://pos.example/{merchantId}/orders';

process.env.TEST_POS_TOKEN = 's3cret';
process.env.TEST_POS_BAD = 'two\nlines';

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'orderlane-directory-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A directory file with this content (text as it is, anything else as JSON), loaded. */
async function load(t: TestContext, content: unknown, source: Partial<DirectorySource> = {}): Promise<Directory> {
  const file = join(await folder(t), 'merchants.json');
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  const directory = await Directory.load({ ...LIMITS, file, ...source });
  t.after(() => directory.stop());
  return directory;
}

async function problemOf(loading: Promise<Directory>): Promise<string> {
  const error = await loading.then(
    () => assert.fail('it was loaded'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof OrderlaneError);
  assert.equal(error.code, 'USAGE');
  return error.message;
}

test('an entry says all about its merchant', async (t) => {
  const directory = await load(t, {
    allowHosts: ['127.0.0.1:8080'],
    merchants: {
      'm-1': {
        url: 'https://pos.example/orders?m={merchantId}',
        headers: { 'X-Tenant': 'a' },
        auth: { type: 'bearer', env: 'TEST_POS_TOKEN' },
        timeout: '5s',
        concurrency: 7,
        rate: '600/m',
        breaker: { failures: 5, probes: 3, wait: '10s', maxWait: '5m' },
        paused: true,
        weight: 3,
        duplicates: 'never',
        keyWindow: '2h',
      },
    },
  });
  assert.deepEqual(directory.find('m-1'), {
    id: 'm-1',
    url: 'https://pos.example/orders?m=m-1',
    headers: { 'x-tenant': 'a', authorization: 'Bearer s3cret' },
    timeoutMs: 5000,
    concurrency: 7,
    ratePerSecond: 10,
    breaker: { failures: 5, probes: 3, waitMs: 10_000, maxWaitMs: 300_000 },
    paused: true,
    weight: 3,
    duplicates: 'never',
    keyWindowMs: 7_200_000,
  });
  assert.equal(directory.find('m-2'), undefined);
  assert.deepEqual(directory.allowHosts, ['127.0.0.1:8080']);
  assert.equal(directory.version, 1);
});

test('what an entry leaves out comes from defaults, and what those leave out from the options', async (t) => {
  const directory = await load(t, {
    defaults: {
      url: URL_TEMPLATE,
      headers: { 'x-a': '1', 'x-b': '1' },
      auth: { type: 'header', name: 'X-Api-Key', env: 'TEST_POS_TOKEN' },
      weight: 2,
    },
    merchants: { 'm-1': {}, 'm-2': { headers: { 'x-b': '2' }, weight: 9 } },
  });
  assert.deepEqual(directory.find('m-1'), {
    id: 'm-1',
    url: 'https://pos.example/m-1/orders',
    headers: { 'x-a': '1', 'x-b': '1', 'x-api-key': 's3cret' },
    timeoutMs: 15_000,
    concurrency: 50,
    breaker: BREAKER,
    paused: false,
    weight: 2,
    duplicates: 'idempotent',
    keyWindowMs: 86_400_000,
  });
  assert.deepEqual(directory.find('m-2')?.headers, { 'x-a': '1', 'x-b': '2', 'x-api-key': 's3cret' });
  assert.equal(directory.find('m-2')?.weight, 9);
});

test('a rate of the command line holds for merchants that neither an entry nor defaults give one', async (t) => {
  const merchants = { a: { url: 'https://pos.example/' }, b: { url: 'https://pos.example/', rate: '60/m' } };
  const directory = await load(t, { merchants }, { ratePerSecond: 10 });
  assert.deepEqual([directory.find('a')?.ratePerSecond, directory.find('b')?.ratePerSecond], [10, 1]);
  const alone = await Directory.load({ ...LIMITS, url: URL_TEMPLATE, ratePerSecond: 10 });
  assert.equal(alone.find('a')?.ratePerSecond, 10);
});

test('a breaker is an entry’s where that tells, then that of defaults, then that of the command line', async (t) => {
  const url = 'https://pos.example/';
  const merchants = { a: { url }, b: { url, breaker: { probes: 4 } }, c: { url, breaker: {} } };
  const defaults = { breaker: { failures: 9, wait: '1s' } };
  const breaker = { ...BREAKER, failures: 3, maxWaitMs: 30_000 };
  const directory = await load(t, { defaults, merchants }, { breaker });
  const all = { failures: 9, probes: 1, waitMs: 1000, maxWaitMs: 30_000 };
  assert.deepEqual(directory.find('a')?.breaker, all);
  assert.deepEqual(directory.find('b')?.breaker, { ...all, probes: 4 });
  assert.deepEqual(directory.find('c')?.breaker, all);
});

test('with a URL template alone every merchant is known whose ID fits', async () => {
  const directory = await Directory.load({ ...LIMITS, url: URL_TEMPLATE });
  assert.equal(directory.find('a/b')?.url, 'https://pos.example/a%2Fb/orders');
  assert.equal(directory.find('__proto__')?.url, 'https://pos.example/__proto__/orders');
  for (const id of ['', '.', '..']) assert.equal(directory.find(id), undefined, id);
});

test('where the host depends on the merchant, it is judged for each', async () => {
  const directory = await Directory.load({ ...LIMITS, url: 'https://{merchantId}/orders', allowHosts: ['pos-9'] });
  assert.equal(directory.find('pos-1')?.url, 'https://pos-1/orders');
  assert.equal(directory.find('localhost'), undefined);
  assert.equal(directory.find('2130706433'), undefined, '127.0.0.1 as a number');
});

test('with neither file nor URL every merchant is known, without a URL', async () => {
  const directory = await Directory.load(LIMITS);
  assert.equal(directory.find('anyone')?.url, undefined);
  assert.equal(directory.find('anyone')?.timeoutMs, 15_000);
  assert.equal(directory.find(''), undefined);
});

test('IDs that are names of Object.prototype are merchants like others, when they are listed', async (t) => {
  const text = `{"defaults": {"url": "${URL_TEMPLATE}"}, "merchants": {"__proto__": {"weight": 4}, "a/b": {}}}`;
  const directory = await load(t, text);
  assert.equal(directory.find('__proto__')?.weight, 4);
  assert.equal(directory.find('a/b')?.url, 'https://pos.example/a%2Fb/orders');
  for (const id of ['constructor', 'toString', 'hasOwnProperty']) assert.equal(directory.find(id), undefined, id);
  assert.equal(({} as { weight?: number }).weight, undefined);
});

test('credentials come from a variable or a file, which is read once', async (t) => {
  const path = await folder(t);
  await writeFile(join(path, 'password'), 'p4ss:word\n');
  const file = join(path, 'merchants.json');
  const auth = { type: 'basic', username: 'shop', file: 'password' };
  await writeFile(file, JSON.stringify({ defaults: { url: URL_TEMPLATE, auth }, merchants: { a: {}, b: { auth } } }));
  const directory = await Directory.load({ ...LIMITS, file });
  const expected = { authorization: `Basic ${Buffer.from('shop:p4ss:word').toString('base64')}` };
  assert.deepEqual(directory.find('a')?.headers, expected);
  assert.deepEqual(directory.find('b')?.headers, expected);
});

test('each problem names its place, what was expected and what came', async (t) => {
  const entry = (fields: object) => ({ merchants: { 'm-1': { url: 'https://pos.example/', ...fields } } });
  const cases: [unknown, RegExp][] = [
    ['{"merchants": ', /expected JSON, received text that is not JSON/],
    [[], /expected an object with allowHosts, defaults, merchants, received a list/],
    [{}, /merchants: expected an object with an entry for each merchant ID, received nothing/],
    [{ merchant: {}, merchants: {} }, /merchant: unknown field: did you mean "merchants"\?/],
    [{ allowHosts: 'a', merchants: {} }, /allowHosts: expected a list of hosts, received "a"/],
    [{ allowHosts: ['a', 'http://b'], merchants: {} }, /allowHosts\.1: expected a host, .*received "http:\/\/b"/],
    [{ defaults: 5, merchants: {} }, /defaults: expected an object, received 5/],
    [{ merchants: { 'a b': null } }, /merchants\["a b"\]: expected an object, received null/],
    [{ merchants: { '': {} } }, /merchants\[""\]: expected a merchant ID, received an empty one/],
    [entry({ concurency: 5 }), /merchants\.m-1\.concurency: unknown field: did you mean "concurrency"\?/],
    [entry({ port: 5 }), /merchants\.m-1\.port: unknown field: expected url, headers, auth, timeout/],
    [entry({ timeout: 15 }), /merchants\.m-1\.timeout: expected a duration .*"15s", received 15/],
    [entry({ timeout: '0s' }), /merchants\.m-1\.timeout: expected a duration above 0 .*received "0s"/],
    [entry({ concurrency: 0 }), /merchants\.m-1\.concurrency: expected a whole number from 1, received 0/],
    [entry({ weight: 101 }), /merchants\.m-1\.weight: expected a whole number from 1 to 100, received 101/],
    [entry({ weight: '5' }), /merchants\.m-1\.weight: expected a whole number .*received "5"/],
    [
      entry({ duplicates: 'maybe' }),
      /merchants\.m-1\.duplicates: expected idempotent, confirm, never, received "maybe"/,
    ],
    [entry({ rate: 10 }), /merchants\.m-1\.rate: expected a rate above 0 a second.* such as "10\/s".*, received 10/],
    [entry({ rate: '0/s' }), /merchants\.m-1\.rate: expected a rate above 0/],
    [
      entry({ breaker: 3 }),
      /merchants\.m-1\.breaker: expected an object with failures, probes, wait, maxWait, received 3/,
    ],
    [entry({ breaker: { failures: 0 } }), /breaker\.failures: expected a whole number from 1 to 100, received 0/],
    [entry({ breaker: { probes: 101 } }), /breaker\.probes: expected a whole number from 1 to 100, received 101/],
    [entry({ breaker: { wait: 5 } }), /breaker\.wait: expected a duration from 100ms to 1h, received 5/],
    [entry({ breaker: { maxWait: '2h' } }), /breaker\.maxWait: expected a duration from 100ms to 1h, received "2h"/],
    [entry({ breaker: { maxwait: '5s' } }), /breaker\.maxwait: unknown field: did you mean "maxWait"\?/],
    [entry({ paused: 'yes' }), /merchants\.m-1\.paused: expected true or false, received "yes"/],
    [entry({ keyWindow: '1 day' }), /merchants\.m-1\.keyWindow: expected a duration/],
    [entry({ url: 5 }), /merchants\.m-1\.url: expected a URL, received 5/],
    [
      entry({ url: 'pos.example' }),
      /merchants\.m-1\.url: expected an https:\/\/ or http:\/\/ URL, received "pos\.example"/,
    ],
    [entry({ url: 'https://u:s3cret@pos.example/' }), /merchants\.m-1\.url: expected a URL without credentials/],
    [
      entry({ url: 'http://pos.example/' }),
      /merchants\.m-1\.url: pos\.example:80 is plain HTTP: .*allowHosts or --allow-host/,
    ],
    [
      entry({ url: 'https://10.0.0.1/' }),
      /merchants\.m-1\.url: 10\.0\.0\.1 is not a public address: .*10\.0\.0\.1:443 in allowHosts/,
    ],
    [entry({ url: 'https://169.254.169.254/' }), /169\.254\.169\.254 is not a public address/],
    [entry({ url: 'https://[::1]:8443/' }), /\[::1\]:8443 in allowHosts/],
    [entry({ headers: [] }), /merchants\.m-1\.headers: expected an object of header values by name, received a list/],
    [entry({ headers: { 'x-a': 5 } }), /merchants\.m-1\.headers\.x-a: expected a string, received 5/],
    [entry({ headers: { 'x-a': 'a\nb' } }), /merchants\.m-1\.headers\.x-a: .*cannot carry/],
    [entry({ headers: { 'x a': 'b' } }), /merchants\.m-1\.headers\["x a"\]: expected a header name, received "x a"/],
    [entry({ headers: { Authorization: 's3cret' } }), /headers\.Authorization: credentials do not belong.*"auth"/],
    [entry({ headers: { 'Idempotency-Key': 'x' } }), /headers\.Idempotency-Key: .*set by orderlane/],
    [entry({ auth: 's3cret' }), /merchants\.m-1\.auth: expected an object with "type": "bearer", "basic" or "header"/],
    [entry({ auth: { type: 'digest' } }), /merchants\.m-1\.auth: .*received "digest"/],
    [
      entry({ auth: { type: 'bearer', token: 's3cret', env: 'TEST_POS_TOKEN' } }),
      /auth\.token: unknown field.*secrets go by "env" or "file"/,
    ],
    [
      entry({ auth: { type: 'bearer' } }),
      /merchants\.m-1\.auth: expected the name of an environment variable in "env"/,
    ],
    [entry({ auth: { type: 'bearer', env: 'A', file: 'b' } }), /auth: expected "env" or "file", received both/],
    [
      entry({ auth: { type: 'bearer', env: 'TEST_POS_NONE' } }),
      /merchants\.m-1\.auth: the environment variable TEST_POS_NONE is not set/,
    ],
    [
      entry({ auth: { type: 'bearer', env: 'TEST_POS_BAD' } }),
      /auth: the environment variable TEST_POS_BAD holds characters/,
    ],
    [
      entry({ auth: { type: 'bearer', file: '/no/such/file' } }),
      /merchants\.m-1\.auth: the file \/no\/such\/file cannot be read: ENOENT/,
    ],
    [
      entry({ auth: { type: 'basic', env: 'TEST_POS_TOKEN' } }),
      /auth\.username: expected a user name without a colon, received nothing/,
    ],
    [
      entry({ auth: { type: 'header', env: 'TEST_POS_TOKEN' } }),
      /auth\.name: expected a header name, received nothing/,
    ],
    [entry({ auth: { type: 'header', name: 'Host', env: 'TEST_POS_TOKEN' } }), /auth\.name: .*set by orderlane/],
    [
      { defaults: { url: URL_TEMPLATE }, merchants: { '..': {} } },
      /merchants\["\.\."\]: expected a merchant ID that can be part of its URL/,
    ],
  ];
  for (const [content, words] of cases) {
    const message = await problemOf(load(t, content));
    assert.match(message, words);
    assert.match(message, /^\/.*merchants\.json: /);
    assert.doesNotMatch(message, /s3cret|two\nlines|\d problems/);
  }
});

test('of many problems the first ten are told, and how many there are', async (t) => {
  const merchants = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`m-${i}`, { timeout: i }]));
  const message = await problemOf(load(t, { defaults: { url: URL_TEMPLATE }, merchants }));
  const [first, ...lines] = message.split('\n');
  assert.match(first ?? '', /merchants\.json: 25 problems, the first 10 are:$/);
  assert.equal(lines.length, 10);
  assert.match(lines[9] ?? '', /merchants\.m-9\.timeout: expected a duration .*received 9/);
});

test('a source that cannot work is refused', async (t) => {
  const file = join(await folder(t), 'none.json');
  const cases: [Partial<DirectorySource>, RegExp][] = [
    [{ file }, /none\.json: expected a merchant directory: ENOENT/],
    [{ file, url: URL_TEMPLATE }, /a directory file or a URL template, received both/],
    [{ url: 'http://pos.example/' }, /^url: pos\.example:80 is plain HTTP/],
    [{ url: 'https://pos.example/{merchant}' }, /^url: expected no braces but \{merchantId\}/],
    [{ url: URL_TEMPLATE, allowHosts: ['*'] }, /allowHosts: expected a host/],
    [{ urlRequired: true }, /a merchant directory or a URL template, received neither/],
  ];
  for (const [source, words] of cases) assert.match(await problemOf(Directory.load({ ...LIMITS, ...source })), words);
});

test('the command line’s hosts are allowed besides the file’s, and its limits bind the file', async (t) => {
  const content = { allowHosts: ['a.internal'], merchants: { a: { url: 'http://b.internal/', timeout: '30s' } } };
  const directory = await load(t, content, { allowHosts: ['b.internal'] });
  assert.deepEqual(directory.allowHosts, ['b.internal', 'a.internal']);
  assert.match(
    await problemOf(load(t, content, { allowHosts: ['b.internal'], maxTimeoutMs: 25_000 })),
    /merchants\.a\.timeout: expected at most 25s \(--shutdown-timeout\), received 30s/,
  );
  assert.match(
    await problemOf(load(t, { merchants: { a: {} } }, { urlRequired: true })),
    /merchants\.a: expected a "url" here or in "defaults", received none/,
  );
});

/** Waits until a file has been looked at so many times. */
function looksAt(t: TestContext, file: string): (times: number) => Promise<void> {
  let seen = 0;
  const { stat } = fs;
  t.mock.method(fs, 'stat', (path: string) => {
    if (path === file) seen += 1;
    return stat(path);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  return async (times) => {
    for (const enough = seen + times; seen < enough; ) await new Promise(setImmediate);
  };
}

/** Watches a directory and gives what happened next, in order. */
function watched(directory: Directory): () => Promise<string> {
  const waiting: ((event: string) => void)[] = [];
  const events: string[] = [];
  const tell = (event: string): void => {
    const next = waiting.shift();
    if (next === undefined) events.push(event);
    else next(event);
  };
  directory.watch(
    () => tell('changed'),
    (error) => tell(error.message),
  );
  return () => {
    const event = events.shift();
    if (event !== undefined) return Promise.resolve(event);
    const { promise, resolve } = Promise.withResolvers<string>();
    // node:test on Node 22 needs something that holds the event loop; the watch does not.
    const hold = setInterval(() => {}, 1000);
    waiting.push(resolve);
    return promise.finally(() => clearInterval(hold));
  };
}

test('a file that changes is read again; one that turns bad keeps the last good one and is told of once', async (t) => {
  const file = join(await folder(t), 'merchants.json');
  const write = async (merchants: unknown): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify({ defaults: { url: URL_TEMPLATE }, merchants }));
    await rename(`${file}.new`, file);
  };
  await write({ a: {}, b: {} });
  const directory = await Directory.load({ ...LIMITS, file, pollMs: 10 });
  t.after(() => directory.stop());
  const next = watched(directory);
  const looks = looksAt(t, file);
  const [a, b] = [directory.find('a'), directory.find('b')];

  await write({ a: {}, b: { weight: 2 }, c: {} });
  assert.equal(await next(), 'changed');
  assert.equal(directory.version, 2);
  assert.equal(directory.find('a'), a, 'unchanged, so the same object');
  assert.notEqual(directory.find('b'), b);
  assert.equal(directory.find('c')?.id, 'c');

  await write({ a: { weight: 0 } });
  assert.match(await next(), /merchants\.a\.weight: expected a whole number/);
  assert.equal(directory.version, 2);
  assert.equal(directory.find('b')?.weight, 2);

  await looks(5);
  await rm(file);
  assert.match(await next(), /ENOENT/, 'and the bad version before it was told of only once');

  await write({ a: { weight: 5 } });
  assert.equal(await next(), 'changed');
  assert.equal(directory.version, 3);
  assert.equal(directory.find('a')?.weight, 5);
  assert.equal(directory.find('b'), undefined);
  directory.stop();
  directory.stop();
});

test('a file that is emptied by mistake changes nothing until it is put right', async (t) => {
  const file = join(await folder(t), 'merchants.json');
  const write = async (merchants: unknown): Promise<void> => {
    await writeFile(`${file}.new`, JSON.stringify({ defaults: { url: URL_TEMPLATE }, merchants }));
    await rename(`${file}.new`, file);
  };
  await write({ a: {}, b: {} });
  const directory = await Directory.load({ ...LIMITS, file, pollMs: 10 });
  t.after(() => directory.stop());
  const next = watched(directory);
  await write({});
  assert.match(await next(), /would remove 2 of the 2 merchants/);
  assert.equal(directory.find('a')?.id, 'a');
  await write({ a: {}, b: {}, c: {} });
  assert.equal(await next(), 'changed');
  assert.equal(directory.size, 3);
});

test('a merchant that stands twice in the file is refused, naming both places', async (t) => {
  const text = '{\n "merchants": {\n  "a": { "url": "https://a/" },\n  "a": { "url": "https://b/" }\n }\n}';
  assert.match(await problemOf(load(t, text)), /: merchants\.a: expected once, received in line 3 and in line 4$/);
});

test('a secret that changes is a change, also when it is what was wrong', async (t) => {
  const path = await folder(t);
  const file = join(path, 'merchants.json');
  const secret = join(path, 'token');
  await writeFile(secret, 'one');
  const auth = { type: 'bearer', file: 'token' };
  await writeFile(file, JSON.stringify({ merchants: { a: { url: 'https://pos.example/', auth } } }));
  const directory = await Directory.load({ ...LIMITS, file, pollMs: 10 });
  t.after(() => directory.stop());
  const next = watched(directory);
  await rm(secret);
  assert.match(await next(), /merchants\.a\.auth: the file .*token cannot be read/);
  assert.equal(directory.find('a')?.headers.authorization, 'Bearer one');
  await writeFile(secret, 'three');
  assert.equal(await next(), 'changed');
  assert.equal(directory.find('a')?.headers.authorization, 'Bearer three');
});

test('a Kubernetes ConfigMap that is swapped by its symbolic link is a change', async (t) => {
  const path = await folder(t);
  for (const [version, weight] of [
    ['v1', 1],
    ['v2', 2],
  ] as const) {
    await mkdir(join(path, version));
    const text = JSON.stringify({ merchants: { a: { url: 'https://pos.example/', weight } } });
    await writeFile(join(path, version, 'merchants.json'), text);
  }
  await symlink('v1', join(path, '..data'));
  await symlink('..data/merchants.json', join(path, 'merchants.json'));
  const directory = await Directory.load({ ...LIMITS, file: join(path, 'merchants.json'), pollMs: 10 });
  t.after(() => directory.stop());
  const next = watched(directory);
  await symlink('v2', join(path, '..data.new'));
  await rename(join(path, '..data.new'), join(path, '..data'));
  assert.equal(await next(), 'changed');
  assert.equal(directory.find('a')?.weight, 2);
});

test('100,000 merchants are loaded and found', async (t) => {
  const merchants = Object.fromEntries(
    Array.from({ length: 100_000 }, (_, i) => [
      `m-${i}`,
      { url: `https://pos-${i % 977}.example/{merchantId}`, timeout: '5s' },
    ]),
  );
  const directory = await load(t, { merchants });
  assert.equal(directory.find('m-99999')?.url, 'https://pos-345.example/m-99999');
});
