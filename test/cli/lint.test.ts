import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { orderlane } from './command-line.ts';

const folder = await mkdtemp(join(tmpdir(), 'orderlane-lint-'));
after(() => rm(folder, { recursive: true }));

async function file(name: string, content: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

interface Report {
  readonly passed: boolean;
  readonly findings: readonly { readonly check: string; readonly verdict: string; readonly what: string }[];
}

const HANDLER = 'export default { deliver: async () => ({}) };';
const MERCHANTS = { merchants: { 'm-1': { url: 'https://m1.example/', timeout: '20s' } } };

test('good settings, merchants and handler pass', async () => {
  const config = await file('good.json', { merchants: await file('merchants.json', MERCHANTS), handler: 'good.mjs' });
  await file('good.mjs', HANDLER);
  const { code, out, err } = await orderlane(['lint', '--config', config]);
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /ok {4}handler +\S+good\.mjs loads in a thread; it has deliver$/m);
  assert.match(out, /ok {4}shutdown +a stop waits 25s; the longest attempt takes 20s$/m);
  assert.match(out, /^\d ok, 0 warn, 0 FAIL: fit to run$/m);
});

test('everything that is wrong is said at once, each with a fix, and ends with exit code 1', async () => {
  const merchants = await file('bad.json', { merchants: { 'm-1': { url: 'https://m1.example/', tiemout: '5s' } } });
  const handler = await file('bad.mjs', 'import "nobody-has-this";');
  const { code, out } = await orderlane(['lint', '--merchants', merchants, '--handler', handler]);
  assert.equal(code, 1);
  assert.match(out, /FAIL {2}merchants .*tiemout: .*\n +fix: correct it/);
  assert.match(out, /FAIL {2}handler .*nobody-has-this.*\n +fix: see that it loads/);
  assert.match(out, /2 FAIL: not fit to run$/m);
});

test('a bad setting is a finding of lint; an option that nobody knows is a usage error', async () => {
  const bad = await orderlane(['lint', '--json', '--concurrency', '0']);
  const report = JSON.parse(bad.out) as Report;
  assert.deepEqual([bad.code, report.passed], [1, false]);
  assert.match(report.findings[0]?.what ?? '', /--concurrency: expected a whole number/);
  assert.equal((await orderlane(['lint', '--nobody'])).code, 2);
});

test('secrets that are not at hand fail, unless nobody is to look for them', async () => {
  const auth = { type: 'bearer', env: 'NOBODY_SETS_THIS' };
  const merchants = await file('auth.json', { merchants: { 'm-1': { url: 'https://m1.example/', auth } } });
  const strict = await orderlane(['lint', '--merchants', merchants]);
  assert.equal(strict.code, 1);
  assert.match(strict.out, /NOBODY_SETS_THIS is not set/);
  assert.equal((await orderlane(['lint', '--merchants', merchants, '--without-secrets'])).code, 0);
});

test('a handler without confirm is warned of where the directory asks for it', async () => {
  const entry = { url: 'https://m1.example/', duplicates: 'confirm' };
  const merchants = await file('confirm.json', { merchants: { 'm-1': entry } });
  const { code, out } = await orderlane(['lint', '--merchants', merchants, '--handler', await file('h.mjs', HANDLER)]);
  assert.equal(code, 0);
  assert.match(out, /warn {2}handler .*no confirm\(\)/);
});
