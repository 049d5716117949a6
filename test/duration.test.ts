import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration } from '../src/duration.ts';

test('a number with a unit is read as milliseconds', () => {
  assert.equal(parseDuration('250ms'), 250);
  assert.equal(parseDuration('15s'), 15_000);
  assert.equal(parseDuration('10m'), 600_000);
  assert.equal(parseDuration('24h'), 86_400_000);
  assert.equal(parseDuration('2d'), 172_800_000);
  assert.equal(parseDuration('1.5h'), 5_400_000);
  assert.equal(parseDuration('0s'), 0);
  assert.equal(parseDuration('15 s'), 15_000);
});

test('a bare number and anything that is not a duration are refused', () => {
  for (const text of [
    '15',
    '',
    's',
    '-1s',
    '+1s',
    '1e3s',
    'Infinity',
    '15S',
    '15 sec',
    ' 15s',
    '15s ',
    '1s2',
    '.5s',
    '1,5s',
  ]) {
    assert.equal(parseDuration(text), undefined, JSON.stringify(text));
  }
  assert.equal(parseDuration('999999999999d'), undefined, 'beyond exact milliseconds');
});

test('a duration is written with the largest unit that is exact', () => {
  assert.equal(formatDuration(250), '250ms');
  assert.equal(formatDuration(15_000), '15s');
  assert.equal(formatDuration(90_000), '90s');
  assert.equal(formatDuration(600_000), '10m');
  assert.equal(formatDuration(86_400_000), '1d');
  assert.equal(formatDuration(0), '0ms');
});

test('what was written is read back as the same duration', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 400 * 86_400_000 }), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms);
    }),
  );
});
