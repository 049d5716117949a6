import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isJson } from '../src/is-json.ts';

/** The oracle. */
function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const EDGES = [
  [
    '',
    ' ',
    '\0',
    '\ufeff{}',
    '{}',
    ' {\t}\r\n',
    '[]',
    '[ ]',
    '{}x',
    '{}\0',
    '{} {}',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{"a":1,}',
    '{,}',
  ],
  [
    '{"a"}',
    '{"a":}',
    '{"a":1 "b":2}',
    '{a:1}',
    '{"a":1]',
    '[1}',
    '[',
    '{',
    '"',
    '"a',
    '}',
    ']',
    '{"a":{"b":[{}]}}',
    '[[],{}]',
  ],
  [
    'true',
    'false',
    'null',
    'tru',
    'truex',
    'nul',
    'falsee',
    'True',
    'undefined',
    'NaN',
    'Infinity',
    "'a'",
    '// a',
    '\v1',
    '\u00a01',
  ],
  [
    '0',
    '-0',
    '-',
    '00',
    '01',
    '-01',
    '1.',
    '.5',
    '1.5',
    '1.5.5',
    '1e',
    '1e5',
    '1E+5',
    '1e-5',
    '1e+',
    '1e1.5',
    '+1',
    '0x1',
    '1_0',
    '1 ',
  ],
  [
    '"\\u00e9"',
    '"\\u00E9"',
    '"\\u00g0"',
    '"\\u00e"',
    '"\\x41"',
    '"\\\\"',
    '"\\"',
    '"\\/\\b\\f\\n\\r\\t"',
    '"\\0"',
    '"a\nb"',
    '"\u001f"',
    '"\u007f"',
  ],
  ['"é"', 'é', '"\ud83d\ude00"', '"\ud800"', '\ud800', '{"__proto__":1}', '{"a":1,"a":2}', '"\u2028"'],
].flat();

test('it says of the edges of the grammar what JSON.parse says', () => {
  for (const text of EDGES) assert.equal(isJson(text), parses(text), JSON.stringify(text));
});

test('it says of any JSON, and of what one change makes of it, what JSON.parse says', () => {
  const parts = '{}[]":,\\/ \t\n0123456789.-+eEtruefalsn\u0001é😀u'.split('');
  const piece = fc.oneof(fc.constantFrom(...parts), fc.constant(''), fc.string());
  fc.assert(
    fc.property(fc.json(), fc.nat(), fc.nat(3), piece, (json, place, cut, put) => {
      assert.ok(isJson(json), json);
      const at = place % (json.length + 1);
      const changed = json.slice(0, at) + put + json.slice(at + cut);
      assert.equal(isJson(changed), parses(changed), JSON.stringify(changed));
    }),
    { numRuns: 2_000 },
  );
});

test('what an earlier text has left behind is no part of a later one', () => {
  assert.equal(isJson('[1,2,3]'), true);
  assert.equal(isJson('[1,'), false);
  assert.equal(isJson('[1'), false);
});

test('depth and length have no limit', () => {
  for (const depth of [1_000, 30_000, 100_000]) {
    const open = '['.repeat(depth);
    assert.equal(isJson(`${open}${']'.repeat(depth)}`), true);
    assert.equal(isJson(`${open}${']'.repeat(depth - 1)}`), false);
  }
  for (const length of [65_534, 65_535, 65_536, 1_000_000]) {
    const text = 'é'.repeat(length - 2);
    assert.equal(isJson(`"${text}"`), true);
    assert.equal(isJson(`"${text}`), false);
  }
});
