import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatByteSize, parseByteSize } from '../src/byte-size.ts';

test('sizes are read with binary and decimal units, and bare numbers are bytes', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['1048576', 1_048_576],
    ['10B', 10],
    ['64KiB', 65_536],
    ['256 MiB', 268_435_456],
    ['1.5GiB', 1_610_612_736],
    ['1kb', 1000],
    ['2MB', 2_000_000],
  ] as const) {
    assert.equal(parseByteSize(text), bytes, text);
  }
});

test('what is no size is refused', () => {
  for (const text of ['', 'MiB', '-1', '1TiB', '1 M', '1e3', '1MiB ', '0x10', '99999999GiB']) {
    assert.equal(parseByteSize(text), undefined, text);
  }
});

test('a size that was formatted reads back as itself', () => {
  assert.equal(formatByteSize(268_435_456), '256MiB');
  assert.equal(formatByteSize(1000), '1000B');
  fc.assert(fc.property(fc.nat({ max: 2 ** 50 }), (bytes) => parseByteSize(formatByteSize(bytes)) === bytes));
});
