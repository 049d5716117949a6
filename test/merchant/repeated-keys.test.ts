import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { repeatedKeys } from '../../src/merchant/repeated-keys.ts';

test('a key that stands twice in one object is found with both lines, however it is written', async () => {
  const text = `{
  "merchants": {
    "m-1": { "url": "a", "rate": "}{,\\"m-2\\":", "url": "b" },
    "m-2": { "headers": [{ "url": 1 }, { "url": 2 }] },
    "m\\u002d1": {}
  }
}`;
  assert.deepEqual(await repeatedKeys(text), [
    { path: ['merchants', 'm-1', 'url'], first: 3, again: 3 },
    { path: ['merchants', 'm-1'], first: 3, again: 5 },
  ]);
});

test('what JSON.stringify writes has none', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (value) => {
      assert.deepEqual(await repeatedKeys(JSON.stringify(value, null, 1)), []);
    }),
  );
});
