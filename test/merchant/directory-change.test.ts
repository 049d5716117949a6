import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeBetween, changeText, refusalOf } from '../../src/merchant/directory-change.ts';
import type { DirectoryFile, Entry } from '../../src/merchant/directory-file.ts';

function file(ids: string, weight = 1, defaults: Entry = {}): DirectoryFile {
  const names = ids.split(' ').filter((id) => id !== '');
  return { allowHosts: [], defaults, merchants: new Map(names.map((id) => [id, id === 'a' ? { weight } : {}])) };
}

function many(count: number): string {
  return Array.from({ length: count }, (_, n) => `m-${n}`).join(' ');
}

test('a change is counted in entries added, removed and changed', async () => {
  assert.equal(
    changeText(await changeBetween(file('a b c'), file('a b d e', 2))),
    '2 added, 1 removed, 1 changed, 4 in all',
  );
  assert.equal(
    changeText(await changeBetween(file('a'), file('a', 1, { weight: 2 }))),
    '0 added, 0 removed, 0 changed, other defaults, 1 in all',
  );
});

for (const [what, before, after, refused] of [
  ['all of two are removed', 'a b', '', true],
  ['all are replaced', 'a b', 'c d', true],
  ['eleven of twenty are removed', many(20), many(9), true],
  ['half of twenty are removed', many(20), many(10), false],
  ['two of three are removed, by hand', 'a b c', 'a', false],
  ['some come to an empty one', '', 'a', false],
] as const) {
  test(`a reload is ${refused ? 'refused' : 'taken'} when ${what}`, async () => {
    const refusal = refusalOf(await changeBetween(file(before), file(after)), 'merchants.json');
    assert.equal(refusal !== undefined, refused);
    if (refused)
      assert.match(String(refusal?.message), /^merchants\.json: it would remove \d+ of the \d+ merchants .* restart/);
  });
}
