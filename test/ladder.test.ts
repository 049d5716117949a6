import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RUNGS_MS, rungFor } from '../src/ladder.ts';

const LONGEST_MS = 512_000;

test('the rungs are 1 s, 2 s, 4 s ... 512 s, because queues on the broker are named after them', () => {
  assert.deepEqual([...RUNGS_MS], [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, LONGEST_MS]);
});

test('a delay is rounded up to the ladder, or down when it would end past the deadline', () => {
  for (const [wanted, atLeast, left, expected] of [
    [0, 0, 600_000, { delayMs: 1000, again: false }],
    [1000, 0, 600_000, { delayMs: 1000, again: false }],
    [1000.5, 0, 600_000, { delayMs: 2000, again: false }],
    [10, 4001, 600_000, { delayMs: 8000, again: false }],
    [60_000, 0, 64_001, { delayMs: 64_000, again: false }],
    // Past the deadline: what the longest rung in time is.
    [60_000, 0, 64_000, { delayMs: 32_000, again: false }],
    [60_000, 0, 1001, { delayMs: 1000, again: false }],
    [60_000, 0, 1000, undefined],
    // The time that must pass is longer than the rung: it waits again.
    [0, 700_000, 800_000, { delayMs: LONGEST_MS, again: true }],
    [0, 5000, 7000, { delayMs: 4000, again: true }],
    // The time that must pass ends past the deadline.
    [0, 7000, 7000, undefined],
    [0, 0, 0, undefined],
    [0, 0, -5, undefined],
  ] as const) {
    assert.deepEqual(rungFor(wanted, atLeast, left), expected, `${wanted}, ${atLeast}, ${left}`);
  }
});

test('no rung ends past the deadline, comes before what is wanted without need, or is longer than it must be', () => {
  const ms = fc.integer({ min: 0, max: 2_000_000 });
  fc.assert(
    fc.property(ms, ms, fc.integer({ min: -1000, max: 2_000_000 }), (wantedMs, atLeastMs, leftMs) => {
      const rung = rungFor(wantedMs, atLeastMs, leftMs);
      if (rung === undefined) {
        assert.ok(atLeastMs >= leftMs || leftMs <= 1000);
        return;
      }
      const { delayMs, again } = rung;
      const place = (RUNGS_MS as readonly number[]).indexOf(delayMs);
      assert.notEqual(place, -1);
      assert.ok(delayMs < leftMs, 'ends past the deadline');
      assert.ok(delayMs >= atLeastMs || again, 'comes before the least delay, and does not wait again');
      const wanted = Math.max(wantedMs, atLeastMs);
      const longer = RUNGS_MS[place + 1];
      if (delayMs < wanted) assert.ok(longer === undefined || longer >= leftMs, 'a longer rung was in time');
      const shorter = RUNGS_MS[place - 1];
      if (shorter !== undefined) assert.ok(shorter < wanted, 'a shorter rung was enough');
    }),
    { numRuns: 2000 },
  );
});
