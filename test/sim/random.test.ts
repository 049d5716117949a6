import assert from 'node:assert/strict';
import { test } from 'node:test';
import { below, exponential, logNormal, seeded, seededBy, uniform, zipf } from '../../src/sim/random.ts';

const DRAWS = 100_000;

function draws(draw: () => number): Float64Array {
  return Float64Array.from({ length: DRAWS }, draw);
}

function quantile(values: Float64Array, share: number): number {
  return values.toSorted()[Math.floor(values.length * share)] as number;
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function near(actual: number, expected: number, within: number, what: string): void {
  assert.ok(
    Math.abs(actual - expected) <= within * Math.abs(expected),
    `${what}: expected about ${expected}, got ${actual}`,
  );
}

test('a seed gives what the reference implementation in C gives', () => {
  const random = seeded(1);
  const first = Array.from({ length: 6 }, () => random() * 2 ** 32);
  assert.deepEqual(first, [1695105466, 1423115009, 634581793, 1068227753, 716759206, 4186505319]);
});

test('equal seeds give equal sequences, and other seeds others', () => {
  const [a, b, c] = [seeded(7), seeded(7), seeded(8)];
  const sequence = Array.from({ length: 1000 }, a);
  assert.deepEqual(Array.from({ length: 1000 }, b), sequence);
  assert.notDeepEqual(Array.from({ length: 1000 }, c), sequence);
});

test('a text has a sequence of its own, which the seed changes', () => {
  const first = (seed: number, text: string): number => seededBy(seed, text)();
  assert.equal(first(1, 'a'), first(1, 'a'));
  assert.equal(new Set([first(1, 'a'), first(1, 'b'), first(2, 'a'), first(-1, 'a')]).size, 4);
});

test('any whole number is a seed: zero, negative, and beyond 32 bits', () => {
  const firsts = [0, -1, 2 ** 40, 2 ** 40 + 2 ** 33].map((seed) => seeded(seed)());
  assert.equal(new Set(firsts).size, 4);
  for (const first of firsts) assert.ok(first >= 0 && first < 1);
});

test('uniform draws fill their range evenly', () => {
  const random = seeded(1);
  const values = draws(() => uniform(random, 20, 30));
  assert.ok(values.every((value) => value >= 20 && value < 30));
  for (let share = 0.1; share < 1; share += 0.1)
    near(quantile(values, share), 20 + 10 * share, 0.005, `quantile ${share}`);
});

test('below draws every index about equally often', () => {
  const random = seeded(1);
  const counts = [0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < DRAWS; i++) (counts[below(random, 7)] as number) += 1;
  for (const count of counts) near(count, DRAWS / 7, 0.05, 'count');
});

test('exponential draws have the mean, and the tail, of a Poisson process', () => {
  const random = seeded(1);
  const values = draws(() => exponential(random, 40));
  near(mean(values), 40, 0.02, 'mean');
  near(quantile(values, 0.5), 40 * Math.LN2, 0.02, 'median');
  near(quantile(values, 0.99), 40 * Math.log(100), 0.03, 'p99');
  // The smallest and the largest number a source can give.
  assert.equal(
    exponential(() => 0, 40),
    -0,
  );
  assert.ok(Number.isFinite(exponential(() => 1 - 2 ** -32, 40)));
});

test('log-normal draws have the median and the spread asked for', () => {
  const random = seeded(1);
  const values = draws(() => logNormal(random, 80, 0.5));
  near(quantile(values, 0.5), 80, 0.02, 'median');
  near(quantile(values, 0.8413), 80 * Math.exp(0.5), 0.02, 'one sigma up');
  near(quantile(values, 0.1587), 80 * Math.exp(-0.5), 0.02, 'one sigma down');
  assert.ok(Number.isFinite(logNormal(() => 0, 80, 0.5)));
});

test("Zipf draws follow the law's shares", () => {
  const random = seeded(1);
  const pick = zipf(1000, 1);
  const counts = new Float64Array(1000);
  for (let i = 0; i < DRAWS; i++) (counts[pick(random)] as number) += 1;
  let harmonic = 0;
  for (let i = 1; i <= 1000; i++) harmonic += 1 / i;
  for (const rank of [1, 2, 3, 10]) near(counts[rank - 1] as number, DRAWS / harmonic / rank, 0.06, `rank ${rank}`);
  near(
    counts.subarray(500).reduce((sum, count) => sum + count, 0),
    (DRAWS / harmonic) * Math.LN2,
    0.05,
    'the lower half',
  );
});

test('Zipf with exponent 0 draws all alike, and with one thing draws that', () => {
  const random = seeded(1);
  const pick = zipf(10, 0);
  const counts = new Float64Array(10);
  for (let i = 0; i < DRAWS; i++) (counts[pick(random)] as number) += 1;
  for (const count of counts) near(count, DRAWS / 10, 0.05, 'count');
  assert.equal(zipf(1, 1)(random), 0);
});

test('Zipf stays within its table at both ends of the source', () => {
  const pick = zipf(100_000, 1);
  assert.equal(
    pick(() => 0),
    0,
  );
  assert.equal(
    pick(() => 1 - 2 ** -32),
    99_999,
  );
  assert.equal(
    pick(() => 1 - Number.EPSILON / 2),
    99_999,
  );
});
