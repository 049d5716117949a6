import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countHeader, numberHeader, textHeader } from '../../../src/broker/codec/headers.ts';

const NOT_TEXT = ['', null, undefined, true, {}, [], Number.NaN, Number.POSITIVE_INFINITY, Buffer.from('x')];

test('text and numbers are text, all else is absent', () => {
  for (const [value, text] of [
    ['o-1', 'o-1'],
    [' ', ' '],
    [42, '42'],
    [0, '0'],
    [-1.5, '-1.5'],
  ] as const) {
    assert.equal(textHeader({ x: value }, 'x'), text);
  }
  for (const value of NOT_TEXT) assert.equal(textHeader({ x: value }, 'x'), undefined, JSON.stringify(value));
  assert.equal(textHeader({}, 'x'), undefined);
});

test('a number that cannot be held exactly is no text: it would be another ID', () => {
  assert.equal(textHeader({ x: 2 ** 53 }, 'x'), undefined);
  assert.equal(textHeader({ x: Number.MAX_SAFE_INTEGER }, 'x'), '9007199254740991');
});

test('numbers and numeric text are numbers, all else is absent', () => {
  for (const [value, number] of [
    [1.5, 1.5],
    [-3, -3],
    ['1700000000000', 1_700_000_000_000],
    [' 7 ', 7],
    ['1e3', 1000],
  ] as const) {
    assert.equal(numberHeader({ x: value }, 'x'), number);
  }
  for (const value of [...NOT_TEXT, ' ', '7 s', 'Infinity', 'NaN']) {
    assert.equal(numberHeader({ x: value }, 'x'), undefined, JSON.stringify(value));
  }
});

test('a count of ours that makes no sense is the least one', () => {
  for (const [value, count] of [
    [3, 3],
    [1, 1],
    [0, 1],
    [-1, 1],
    [1.5, 1],
    ['3', 1],
    [2 ** 60, 1],
    [null, 1],
    [undefined, 1],
  ] as const) {
    assert.equal(countHeader({ x: value }, 'x', 1), count, String(value));
  }
});
