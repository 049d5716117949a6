import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RateLimit } from '../../src/lane/rate-limit.ts';

test('a second’s worth may go at once, then one after the other', () => {
  const rate = new RateLimit(3, 1000);
  for (let i = 0; i < 3; i++) {
    assert.equal(rate.allows(1000), true);
    rate.started();
  }
  assert.equal(rate.allows(1000), false);
  assert.equal(Math.ceil(rate.opensAt(1000)), 1334);
  assert.equal(rate.allows(1333), false);
  assert.equal(rate.allows(1334), true);
});

test('less than one a second is one at a time', () => {
  const rate = new RateLimit(0.1, 0);
  assert.equal(rate.allows(0), true);
  rate.started();
  assert.deepEqual([rate.allows(9999), Math.ceil(rate.opensAt(9999)), rate.allows(10_000)], [false, 10_000, true]);
});

test('in any stretch of time no more start than its length times the rate, and one burst', () => {
  const steps = fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 200 });
  fc.assert(
    fc.property(fc.double({ min: 0.2, max: 50, noNaN: true }), steps, (perSecond, pauses) => {
      const rate = new RateLimit(perSecond, 0);
      const starts: number[] = [];
      let now = 0;
      for (const pause of pauses) {
        now += pause;
        if (!rate.allows(now)) continue;
        rate.started();
        starts.push(now);
      }
      for (const [first, from] of starts.entries()) {
        for (const [last, to] of starts.entries()) {
          if (last < first) continue;
          const most = Math.max(1, perSecond) + ((to - from) * perSecond) / 1000;
          assert.ok(last - first + 1 <= most + 1e-6, `${last - first + 1} in ${to - from} ms`);
        }
      }
    }),
    { numRuns: 50 },
  );
});
