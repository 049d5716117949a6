import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memory, perSecond, type Row, seconds } from '../../bench/scenario.ts';
import { atLeast, atMost, Summary } from '../../bench/summary.ts';

const row = (system: string, pair: number, elapsedMs: number, ofCase = 'a'): Row => ({
  scenario: 's',
  run: `${ofCase}: ${system}`,
  case: ofCase,
  system,
  pair,
  orders: 1000,
  elapsedMs,
  cpuMs: 10,
  peakMb: elapsedMs / 10,
});

const summary = new Summary([
  row('ours', 1, 1000),
  row('theirs', 1, 2000),
  row('ours', 2, 6000),
  row('theirs', 2, 3000),
  row('ours', 3, 3000),
  row('theirs', 3, 12_000),
  row('ours', 1, 500, 'b'),
]);

test('a figure is shown as its median with minimum and maximum', () => {
  assert.equal(summary.text(seconds, 'a', 'ours'), '3.00 s (1.00 to 6.00)');
  assert.equal(summary.text(perSecond, 'a', 'ours'), '333/s (167 to 1,000)');
  assert.equal(summary.text(memory, 'a', 'nobody'), 'not measured');
});

test('a ratio is the median of the pairs and not the ratio of the medians', () => {
  assert.equal(summary.ratio(seconds, 'a', 'ours', 'theirs'), 0.5); // of 0.5, 2 and 0.25; the medians' is 1
});

test('the ratio to the first system is left out for that one itself, and where they were not measured in one session', () => {
  assert.deepEqual(
    ['ours', 'theirs'].map((system) => summary.ratioToFirst(seconds, 'a', system)),
    ['', '2.00'],
  );
  const apart = new Summary([
    { ...row('ours', 1, 1000), session: 'a' },
    { ...row('theirs', 1, 2000), session: 'b' },
  ]);
  assert.equal(apart.ratioToFirst(seconds, 'a', 'theirs'), '');
});

test('a ratio over cases pairs runs of the same pair only', () => {
  assert.equal(summary.ratio(seconds, 'b', 'ours', 'ours', 'a'), 0.5);
});

test('a goal whose figure was not measured is neither met nor missed', () => {
  assert.equal(atMost(summary.median(seconds, 'c', 'ours'), 1, 'it').met, undefined);
  assert.equal(atLeast(summary.ratio(seconds, 'a', 'ours', 'nobody'), 1, 'it').met, undefined);
});

test('what was disturbed is there to be looked at, and can be left out', () => {
  const noisy = new Summary([row('ours', 1, 1000), { ...row('ours', 2, 9000), disturbed: 'by the host' }]);
  assert.deepEqual(noisy.median(seconds, 'a', 'ours'), 5);
  assert.deepEqual(noisy.undisturbed.median(seconds, 'a', 'ours'), 1);
});

test('a goal at its limit is met', () => {
  assert.equal(atMost(3, 3, 'it').met, true);
  assert.equal(atMost(3.01, 3, 'it').met, false);
  assert.equal(atLeast(0.85, 0.85, 'it').met, true);
});

test('cases and systems come in the order in which they were measured', () => {
  assert.deepEqual(summary.cases, ['a', 'b']);
  assert.deepEqual(summary.systems('a'), ['ours', 'theirs']);
});
