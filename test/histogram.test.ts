import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram, LATENCY_BOUNDS } from '../src/histogram.ts';

test('a latency is in the first bucket whose bound it does not exceed', () => {
  const histogram = new Histogram();
  for (const seconds of LATENCY_BOUNDS) histogram.observe(seconds * 1000);
  const { counts } = histogram.reading();
  assert.deepEqual(counts, [...LATENCY_BOUNDS.map(() => 1), 0]);
  histogram.observe(5.001);
  assert.equal(histogram.reading().counts[1], 2);
});

test('what takes longer than the last bound is counted beyond it, with its time', () => {
  const histogram = new Histogram();
  histogram.observe(60_001);
  histogram.observe(3_600_000);
  const { counts, sum } = histogram.reading();
  assert.equal(counts.at(-1), 2);
  assert.equal(sum, 3660.001);
});

test('less than nothing, as by a publisher whose clock is ahead, counts as nothing', () => {
  const histogram = new Histogram();
  histogram.observe(-5_000);
  histogram.observe(0);
  assert.deepEqual([histogram.reading().counts[0], histogram.reading().sum], [2, 0]);
});

test('a reading does not change with what comes later', () => {
  const histogram = new Histogram();
  histogram.observe(1);
  const reading = histogram.reading();
  histogram.observe(1);
  assert.equal(reading.counts[0], 1);
});
