import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { longestTimeoutMs } from '../../../src/cli/doctor/merchant-checks.ts';
import { Directory } from '../../../src/merchant/directory.ts';

async function directory(t: TestContext, text: object): Promise<Directory> {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-test-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'merchants.json');
  await writeFile(file, JSON.stringify(text));
  return await Directory.load({ file, allowHosts: [], timeoutMs: 15_000, concurrency: 50 });
}

test('the longest time-out is that of a merchant that is listed, and the general one counts for those that set none', async (t) => {
  const url = 'https://pos.example.com/{merchantId}';
  const short = await directory(t, { defaults: { url, timeout: '5s' }, merchants: { a: {}, b: { timeout: '7s' } } });
  assert.equal(longestTimeoutMs(short, 15_000), 7_000);
  const some = await directory(t, { defaults: { url }, merchants: { a: { timeout: '5s' }, b: {} } });
  assert.equal(longestTimeoutMs(some, 15_000), 15_000);
  const nobody = await directory(t, { defaults: { url, timeout: '5s' }, merchants: {} });
  assert.equal(longestTimeoutMs(nobody, 15_000), 15_000);
});
