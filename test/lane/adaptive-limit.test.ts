import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AdaptiveLimit } from '../../src/lane/adaptive-limit.ts';

/** One full round: as many answers as the limit lets be in flight. */
function round(limit: AdaptiveLimit, inFlight = limit.value): void {
  for (let i = limit.value; i > 0; i--) limit.answered(inFlight);
}

test('it begins at 50, or at its ceiling when that is lower', () => {
  assert.equal(new AdaptiveLimit(80).value, 50);
  assert.equal(new AdaptiveLimit(3).value, 3);
});

test('it grows by one a round while it is used, and not beyond its ceiling', () => {
  const limit = new AdaptiveLimit(52);
  round(limit);
  assert.equal(limit.value, 50, 'a round is not quite one');
  for (let i = 0; i < 10; i++) round(limit);
  assert.equal(limit.value, 52);
});

test('an answer while less than half was used does not raise it', () => {
  const limit = new AdaptiveLimit(80);
  for (let i = 0; i < 50; i++) round(limit, 24);
  assert.equal(limit.value, 50);
});

test('one overload halves it, however many of its calls tell of it, and the next one halves it again', () => {
  const limit = new AdaptiveLimit(50);
  for (const startedAt of [10, 20, 30]) limit.overloaded(startedAt, 100);
  assert.equal(limit.value, 25);
  limit.overloaded(100, 200);
  assert.equal(limit.value, 12);
});

test('a new ceiling holds at once', () => {
  const limit = new AdaptiveLimit(50);
  limit.max = 4;
  assert.equal(limit.value, 4);
  limit.max = 10;
  assert.equal(limit.value, 10, 'only the ceiling held it');
  limit.overloaded(0, 1);
  limit.max = 50;
  assert.equal(limit.value, 5, 'the merchant held it');
});

test('whatever it is told, it is a whole number from 1 to its ceiling', () => {
  const told = fc.oneof(fc.nat({ max: 60 }), fc.constant('overloaded' as const));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.array(told, { maxLength: 200 }), (max, all) => {
      const limit = new AdaptiveLimit(max);
      for (const [at, each] of all.entries()) {
        if (each === 'overloaded') limit.overloaded(at, at);
        else limit.answered(each);
        assert.ok(Number.isInteger(limit.value) && limit.value >= 1 && limit.value <= max);
      }
    }),
  );
});
