import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { nameChecks, placesOf, type Resolved } from '../../../src/cli/doctor/name-checks.ts';
import { Directory } from '../../../src/merchant/directory.ts';

const verdicts = (findings: readonly Finding[]): string[] =>
  findings.map(({ check, verdict }) => `${check} ${verdict}`);
const well = (host: string): Resolved => ({ host, port: 443, addresses: ['1.1.1.1'] });
const gone = (host: string): Resolved => ({ host, port: 443, addresses: [], error: 'ENOTFOUND' });

test('some names that do not resolve are warned of, none that does fails', () => {
  assert.deepEqual(verdicts(nameChecks([well('a'), well('b')], 2, false, [])), ['names ok', 'addresses ok']);
  assert.deepEqual(verdicts(nameChecks([well('a'), gone('b')], 2, false, [])), ['names warn', 'addresses ok']);
  assert.deepEqual(verdicts(nameChecks([gone('a'), gone('b')], 2, false, [])), ['names fail']);
});

test('a name that leads to a private address fails, unless its host is allowed or it has a public one too', () => {
  const inside: Resolved = { host: 'pos.example', port: 443, addresses: ['10.0.0.1'] };
  assert.deepEqual(verdicts(nameChecks([inside], 1, false, [])), ['names ok', 'addresses fail']);
  assert.deepEqual(verdicts(nameChecks([inside], 1, false, ['pos.example'])), ['names ok', 'addresses ok']);
  const both = { ...inside, addresses: ['10.0.0.1', '1.1.1.1'] };
  assert.deepEqual(verdicts(nameChecks([both], 1, false, [])), ['names ok', 'addresses ok']);
});

test('a sample says that it is one, and a host that depends on the merchant that it was not looked at', () => {
  assert.match(nameChecks([well('a')], 5000, false, [])[0]?.what ?? '', /a sample of 1 of 5,000 names/);
  assert.deepEqual(verdicts(nameChecks([], 0, true, [])), ['names warn']);
  assert.deepEqual(verdicts(nameChecks([], 0, false, [])), ['names ok']);
});

test('of a directory each host counts once, addresses do not, and no more than 200 are looked at', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'orderlane-names-'));
  t.after(() => rm(folder, { recursive: true }));
  const hosts = Array.from({ length: 5000 }, (_, n) => [`m-${n}`, { url: `https://h${n % 1000}.example/orders` }]);
  const merchants = { ...Object.fromEntries(hosts), plain: { url: 'https://1.1.1.1/orders' } };
  const file = join(folder, 'merchants.json');
  await writeFile(file, JSON.stringify({ merchants }));
  const directory = await Directory.load({ file, allowHosts: [], timeoutMs: 1000, concurrency: 1 });
  const { sample, total } = await placesOf(directory, undefined);
  assert.deepEqual([total, sample.length, new Set(sample.map(({ host }) => host)).size], [1000, 200, 200]);
  const template = await Directory.load({
    url: 'https://pos.example/{merchantId}',
    allowHosts: [],
    timeoutMs: 1000,
    concurrency: 1,
  });
  assert.deepEqual((await placesOf(template, 'https://pos.example/{merchantId}')).sample, [
    { host: 'pos.example', port: 443 },
  ]);
});
