import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { orderlane } from './command-line.ts';

test('a token file that holds no token is refused by its name, and what is in it is not shown', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'token');
  for (const [content, why] of [
    ['s3cret\nof two lines\n', 'such as a line feed'],
    ['', 'is empty'],
  ] as const) {
    writeFileSync(file, content);
    const { code, err } = await orderlane(['top', '--once', '--token-file', file]);
    assert.equal(code, 2);
    assert.ok(err.includes(`the admin token: the file ${file}`) && err.includes(why), err);
    assert.ok(!err.includes('s3cret'));
  }
  const { code, err } = await orderlane(['top', '--token-file', join(dir, 'none')]);
  assert.equal(code, 2);
  assert.match(err, /^orderlane: the admin token: the file .*none cannot be read: ENOENT/);
});
