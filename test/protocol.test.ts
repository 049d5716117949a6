import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FREE, HANDED, outcomeCode, outcomeOf, SENDING, type ThreadOutcome } from '../src/protocol.ts';

const REASON = 'connect ECONNREFUSED';
const OUTCOMES: readonly (readonly [number, ThreadOutcome])[] = [
  [3, { kind: 'delivered' }],
  [3, { kind: 'delivered', status: 201 }],
  [4, { kind: 'rejected', reason: REASON }],
  [4, { kind: 'rejected', reason: REASON, status: 422 }],
  [5, { kind: 'malformed', reason: REASON }],
  [6, { kind: 'not-sent', reason: REASON }],
  [7, { kind: 'ambiguous', reason: REASON }],
  [7, { kind: 'ambiguous', reason: REASON, status: 500, retryAfterMs: 2000 }],
  [8, { kind: 'throttled', reason: REASON }],
  [8, { kind: 'throttled', reason: REASON, status: 429, retryAfterMs: 2000 }],
  [9, { kind: 'expired', reason: REASON }],
  [10, { kind: 'failed', reason: REASON }],
];

test('an outcome arrives as it was sent', () => {
  for (const [code, outcome] of OUTCOMES) {
    const { reason, status, retryAfterMs } = outcome as unknown as Record<string, never>;
    assert.equal(outcomeCode(outcome), code);
    assert.deepEqual(outcomeOf(code, reason, status, retryAfterMs), outcome);
  }
});

test('an outcome of which only the byte in the slot table is left is still that outcome', () => {
  for (const [code, { kind }] of OUTCOMES) {
    const outcome = outcomeOf(code);
    assert.equal(outcome?.kind, kind);
    if (outcome !== undefined && 'reason' in outcome) assert.match(outcome.reason, /ended before it could say more/);
  }
});

test('a slot state that is no outcome is not taken for one', () => {
  for (const code of [FREE, HANDED, SENDING, 11, 255, -1]) assert.equal(outcomeOf(code), undefined, String(code));
  assert.deepEqual([FREE, HANDED, SENDING], [0, 1, 2]);
});
