import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AdaptiveLimit } from '../../src/lane/adaptive-limit.ts';

/** One full round: as many answers as the limit lets be in flight. */
function round(limit: AdaptiveLimit, inFlight = limit.value, now = 0): void {
  for (let i = limit.value; i > 0; i--) limit.answered(inFlight, false, now);
}

/** A second of answers, ten of them, of a limit in full use. */
function second(limit: AdaptiveLimit, from: number): void {
  for (let at = from + 100; at <= from + 1000; at += 100) limit.answered(limit.value, false, at);
}

test('it begins at 50, or at its ceiling when that is lower', () => {
  assert.equal(new AdaptiveLimit(80).value, 50);
  assert.equal(new AdaptiveLimit(3).value, 3);
});

test('before the first overload it doubles with each round in which it is used, up to its ceiling', () => {
  const limit = new AdaptiveLimit(150);
  round(limit);
  assert.equal(limit.value, 100);
  round(limit);
  assert.equal(limit.value, 150);
});

test('an answer while less than half was used does not raise it', () => {
  const limit = new AdaptiveLimit(80);
  for (let i = 0; i < 50; i++) round(limit, 24);
  assert.equal(limit.value, 50);
});

test('one overload leaves 70%, however many of its calls tell of it, and the next one 70% of that', () => {
  const limit = new AdaptiveLimit(50);
  assert.deepEqual(
    [10, 20, 30].map((startedAt) => limit.overloaded(startedAt, 100)),
    [true, false, false],
  );
  assert.equal(limit.value, 35);
  assert.equal(limit.overloaded(100, 200), true);
  assert.equal(limit.value, 24);
});

test('after an overload it is soon back where that was, stays there for a while, and then goes on', () => {
  const limit = new AdaptiveLimit(50);
  for (let at = 0; limit.value > 10; at += 10) limit.overloaded(at, at);
  const [low, values] = [limit.value, [] as number[]];
  for (let at = 1000; at < 41_000; at += 1000) {
    second(limit, at);
    values.push(limit.value);
  }
  assert.equal(low, 8);
  assert.deepEqual(
    values,
    values.toSorted((a, b) => a - b),
  );
  const mode = Math.max(...values.map((value) => values.filter((other) => other === value).length));
  assert.ok(mode >= 8, 'it stays somewhere for eight seconds');
  assert.equal(values.at(-1), 50);
});

test('after a standstill it begins at one and doubles with each round, up to where a cut would have led', () => {
  const limit = new AdaptiveLimit(50);
  limit.restart();
  const values = [limit.value];
  for (let i = 0; i < 6; i++) {
    round(limit, 50, i * 10);
    values.push(limit.value);
  }
  assert.deepEqual(values, [1, 2, 4, 8, 16, 32, 35]);
});

test('while calls queue at the merchant, it does not grow', () => {
  const limit = new AdaptiveLimit(80);
  for (let at = 0; at < 100_000; at += 100) limit.answered(50, true, at);
  assert.equal(limit.value, 50);
});

test('time in which it was not used does not raise it', () => {
  const limit = new AdaptiveLimit(50);
  limit.overloaded(0, 0);
  limit.answered(1, false, 600_000);
  assert.equal(limit.value, 35);
  limit.answered(35, false, 1_200_000);
  assert.ok(limit.value < 50);
});

test('refusals bring it below one call at a time, time-outs do not', () => {
  const refused = new AdaptiveLimit(2);
  const silent = new AdaptiveLimit(2);
  for (let at = 0; at < 5; at++) {
    refused.overloaded(at, at);
    silent.unanswered(at, at);
  }
  assert.deepEqual([refused.value, silent.value, silent.mean], [1, 1, 1]);
  assert.ok(refused.mean < 0.5);
});

test('a new ceiling holds at once', () => {
  const limit = new AdaptiveLimit(50);
  limit.max = 4;
  assert.equal(limit.value, 4);
  limit.max = 10;
  assert.equal(limit.value, 10, 'only the ceiling held it');
  limit.overloaded(0, 1);
  limit.max = 50;
  assert.equal(limit.value, 7, 'the merchant held it');
});

test('whatever it is told, it is a whole number from 1 to its ceiling', () => {
  const told = fc.oneof(fc.nat({ max: 60 }), fc.constant('overloaded' as const));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.array(told, { maxLength: 200 }), (max, all) => {
      const limit = new AdaptiveLimit(max);
      for (const [at, each] of all.entries()) {
        if (each === 'overloaded') limit.overloaded(at, at);
        else limit.answered(each, false, at);
        assert.ok(Number.isInteger(limit.value) && limit.value >= 1 && limit.value <= max);
      }
    }),
  );
});
