import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Facts, settlementOf } from '../../src/dispatcher/settlement.ts';
import { RUNGS_MS } from '../../src/ladder.ts';
import type { DuplicatesPolicy } from '../../src/order.ts';
import type { Outcome, OutcomeKind, Settlement } from '../../src/outcome.ts';
import { WALL } from '../helpers/deliveries.ts';

const FACTS: Facts = {
  attempt: 1,
  maxAttempts: 6,
  crashes: 0,
  returns: 0,
  maxCrashes: 3,
  confirmFirst: false,
  duplicates: 'idempotent',
  canConfirm: true,
  keyLeftMs: 86_400_000,
  leftMs: 600_000,
  backoffMs: 1000,
  backoffMaxMs: 60_000,
  wall: WALL,
  random: 0.5,
};

function outcomeOf(kind: OutcomeKind, retryAfterMs?: number): Outcome {
  const after = retryAfterMs === undefined ? {} : { retryAfterMs };
  switch (kind) {
    case 'delivered':
      return { kind, status: 201 };
    case 'ambiguous':
    case 'throttled':
      return { kind, reason: 'why', ...after };
    case 'deferred':
      return { kind, reason: 'why', delayMs: retryAfterMs ?? 1500, atLeastMs: retryAfterMs ?? 1500 };
    case 'rejected':
    case 'malformed':
    case 'not-sent':
    case 'expired':
    case 'failed':
      return { kind, reason: 'why' };
  }
}

const KINDS: readonly OutcomeKind[] = [
  'delivered',
  'rejected',
  'malformed',
  'not-sent',
  'ambiguous',
  'throttled',
  'deferred',
  'expired',
  'failed',
];
const POLICIES: readonly DuplicatesPolicy[] = ['idempotent', 'confirm', 'never'];

/** What is to be told apart: the kind, and of a retry or a dead letter what it says. */
function gist(settlement: Settlement): string {
  if (settlement.kind === 'retry') return `retry ${settlement.attempt}${settlement.confirmFirst ? ' confirm' : ''}`;
  return settlement.kind === 'dead-letter' ? `dead ${settlement.reason}` : settlement.kind;
}

/** The table of outcomes and settlements, once more: the first line that applies. */
function expected(kind: OutcomeKind, facts: Facts): string {
  const { attempt, duplicates } = facts;
  const inTime = facts.leftMs > 1000;
  if (kind === 'delivered') return 'ack';
  if (kind === 'rejected' || kind === 'malformed' || kind === 'expired') return `dead ${kind}`;
  if (kind === 'deferred') return facts.leftMs > 1500 ? 'defer' : 'dead expired';
  const ambiguous = kind === 'ambiguous';
  if (ambiguous && duplicates === 'never') return 'park';
  if (ambiguous && duplicates === 'confirm' && !facts.canConfirm) return 'park';
  if (ambiguous && duplicates === 'idempotent' && facts.keyLeftMs <= 0) return 'park';
  if (facts.crashes >= facts.maxCrashes) return 'dead thread-crash';
  if (facts.returns >= 4 + Math.max(3, facts.maxCrashes)) return 'dead process-crash';
  if (attempt >= facts.maxAttempts) return kind === 'failed' ? 'dead handler-error' : 'dead max-attempts';
  if (!inTime) return ambiguous ? 'dead ambiguous' : 'dead expired';
  return `retry ${attempt + 1}${facts.confirmFirst || (ambiguous && duplicates === 'confirm') ? ' confirm' : ''}`;
}

test('every outcome is settled by the table, whatever the policy, attempt, crashes and time left', () => {
  let cases = 0;
  for (const kind of KINDS)
    for (const duplicates of POLICIES)
      for (const attempt of [1, 5, 6, 7])
        for (const [crashes, returns] of [
          [0, 0],
          [2, 6],
          [3, 7],
          [0, 7],
        ] as const)
          for (const leftMs of [600_000, 1501, 1500, 1000, 0, -1])
            for (const keyLeftMs of duplicates === 'idempotent' ? [86_400_000, 0, -1] : [86_400_000])
              for (const canConfirm of [true, false])
                for (const confirmFirst of [true, false]) {
                  const facts = {
                    ...FACTS,
                    duplicates,
                    attempt,
                    crashes,
                    returns,
                    leftMs,
                    keyLeftMs,
                    canConfirm,
                    confirmFirst,
                  };
                  const came = settlementOf(outcomeOf(kind), facts);
                  assert.equal(gist(came), expected(kind, facts), `${kind} with ${JSON.stringify(facts)}`);
                  cases++;
                }
  assert.equal(cases, 17_280);
});

test('a settlement says all that its carrying out needs', () => {
  const retry = { kind: 'retry', delayMs: 1000, attempt: 2, reason: 'why', confirmFirst: false, crashes: 0 } as const;
  for (const [outcome, facts, settlement] of [
    [outcomeOf('delivered'), {}, { kind: 'ack' }],
    [outcomeOf('rejected'), {}, { kind: 'dead-letter', reason: 'rejected', detail: 'why' }],
    [outcomeOf('malformed'), {}, { kind: 'dead-letter', reason: 'malformed', detail: 'why' }],
    [outcomeOf('expired'), {}, { kind: 'dead-letter', reason: 'expired', detail: 'why' }],
    [outcomeOf('not-sent'), {}, retry],
    [outcomeOf('failed'), { crashes: 2 }, { ...retry, crashes: 2 }],
    [outcomeOf('throttled', 5000), {}, { ...retry, delayMs: 8000 }],
    [outcomeOf('ambiguous', 5000), {}, { ...retry, delayMs: 8000 }],
    [outcomeOf('ambiguous'), { duplicates: 'confirm' }, { ...retry, confirmFirst: true }],
    // Retry-After beyond the longest rung, and beyond the longest one that ends in time.
    [outcomeOf('throttled', 550_000), {}, { ...retry, delayMs: 512_000, notBefore: WALL + 550_000 }],
    [outcomeOf('throttled', 5000), { leftMs: 7000 }, { ...retry, delayMs: 4000, notBefore: WALL + 5000 }],
    [outcomeOf('deferred', 3000), {}, { kind: 'defer', delayMs: 4000, reason: 'why', returns: 0 }],
    // A guess: there is no rung for all of it, and it ends past the deadline.
    [
      { kind: 'deferred', reason: 'why', delayMs: 950_000, atLeastMs: 0 },
      { leftMs: 900_000 },
      { kind: 'defer', delayMs: 512_000, reason: 'why' },
    ],
    [outcomeOf('deferred', 550_000), {}, { kind: 'defer', delayMs: 512_000, reason: 'why', notBefore: WALL + 550_000 }],
    [
      outcomeOf('not-sent'),
      { attempt: 6 },
      { kind: 'dead-letter', reason: 'max-attempts', detail: 'after 6 attempts: why' },
    ],
    [
      outcomeOf('failed'),
      { attempt: 6 },
      { kind: 'dead-letter', reason: 'handler-error', detail: 'after 6 attempts: why' },
    ],
    [
      outcomeOf('ambiguous'),
      { crashes: 3 },
      { kind: 'dead-letter', reason: 'thread-crash', detail: '3 threads were lost to it: why' },
    ],
    [outcomeOf('ambiguous'), { duplicates: 'never' }, { kind: 'park', detail: 'may have been sent: why' }],
  ] as const) {
    const came = settlementOf(outcome, { ...FACTS, ...facts });
    assert.partialDeepStrictEqual(came, settlement);
    assert.equal('notBefore' in came, 'notBefore' in settlement);
  }
});

test('the delay doubles with each attempt up to the longest backoff, with full jitter', () => {
  for (const [attempt, random, delayMs] of [
    [1, 0.999, 1000],
    [3, 0.999, 4000],
    [3, 0.3, 2000],
    [3, 0, 1000],
    [6, 0.999, 32_000],
    [7, 0.999, 64_000], // the longest backoff is 60 s, rounded up to the ladder
    [90, 0.999, 64_000],
  ] as const) {
    const settlement = settlementOf(outcomeOf('not-sent'), { ...FACTS, maxAttempts: 100, attempt, random });
    assert.equal(settlement.kind === 'retry' && settlement.delayMs, delayMs, `attempt ${attempt}, random ${random}`);
  }
});

test('a merchant whose handler is asked first needs no key window', () => {
  const facts: Facts = { ...FACTS, duplicates: 'confirm', keyLeftMs: 0 };
  assert.equal(gist(settlementOf(outcomeOf('ambiguous'), facts)), 'retry 2 confirm');
});

test('an order that may have been sent is not sent again after the merchant has forgotten its key', () => {
  // One second is the shortest retry, and the key is gone by then.
  assert.equal(settlementOf(outcomeOf('ambiguous'), { ...FACTS, keyLeftMs: 500 }).kind, 'park');
});

const anyFacts: fc.Arbitrary<Facts> = fc.record({
  attempt: fc.integer({ min: 1, max: 1100 }),
  maxAttempts: fc.integer({ min: 1, max: 1000 }),
  crashes: fc.nat({ max: 5 }),
  returns: fc.nat({ max: 9 }),
  maxCrashes: fc.integer({ min: 1, max: 5 }),
  confirmFirst: fc.boolean(),
  duplicates: fc.constantFrom(...POLICIES),
  canConfirm: fc.boolean(),
  keyLeftMs: fc.integer({ min: -1000, max: 86_400_000 }),
  leftMs: fc.integer({ min: -1000, max: 1_500_000 }),
  backoffMs: fc.integer({ min: 1, max: 1_500_000 }),
  backoffMaxMs: fc.integer({ min: 1, max: 1_500_000 }),
  wall: fc.constant(WALL),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
});
const anyOutcome = fc
  .tuple(fc.constantFrom(...KINDS), fc.option(fc.nat({ max: 2_000_000 }), { nil: undefined }))
  .map(([kind, retryAfterMs]) => outcomeOf(kind, retryAfterMs));

function everySettlement(check: (settlement: Settlement, outcome: Outcome, facts: Facts) => void): void {
  fc.assert(
    fc.property(anyOutcome, anyFacts, (outcome, facts) => check(settlementOf(outcome, facts), outcome, facts)),
    { numRuns: 2000 },
  );
}

test('an order is acknowledged if and only if it was delivered', () => {
  everySettlement((settlement, outcome) => assert.equal(settlement.kind === 'ack', outcome.kind === 'delivered'));
});

test('no retry goes past the last attempt, and no deferral counts as one', () => {
  everySettlement((settlement, outcome, facts) => {
    if (settlement.kind === 'retry') {
      assert.equal(settlement.attempt, facts.attempt + 1);
      assert.ok(settlement.attempt <= facts.maxAttempts);
      assert.ok(settlement.crashes < facts.maxCrashes);
      assert.ok(facts.returns - 4 < Math.max(3, facts.maxCrashes));
    }
    assert.equal(settlement.kind === 'defer', outcome.kind === 'deferred' && settlement.kind !== 'dead-letter');
  });
});

test('nothing waits past its deadline, and nothing waits less than Retry-After unless the message says so', () => {
  everySettlement((settlement, outcome, facts) => {
    if (settlement.kind !== 'retry' && settlement.kind !== 'defer') return;
    assert.ok((RUNGS_MS as readonly number[]).includes(settlement.delayMs));
    assert.ok(settlement.delayMs < facts.leftMs);
    const told = outcome as { retryAfterMs?: number; delayMs?: number };
    const atLeastMs = told.retryAfterMs ?? told.delayMs ?? 0;
    if (settlement.notBefore === undefined) assert.ok(settlement.delayMs >= atLeastMs);
    else {
      assert.equal(settlement.notBefore, facts.wall + atLeastMs);
      assert.ok(atLeastMs < facts.leftMs);
    }
  });
});

test('a merchant that must never get an order twice gets nothing again that may have been sent', () => {
  everySettlement((settlement, outcome, facts) => {
    if (outcome.kind === 'ambiguous' && facts.duplicates === 'never') assert.equal(settlement.kind, 'park');
  });
});

test('an order that must be asked for first stays so until it is delivered or ends', () => {
  everySettlement((settlement, _outcome, facts) => {
    if (facts.confirmFirst && settlement.kind === 'retry') assert.equal(settlement.confirmFirst, true);
  });
});

test('texts are cut to what a header may carry', () => {
  for (const kind of KINDS) {
    for (const facts of [FACTS, { ...FACTS, attempt: 6 }, { ...FACTS, leftMs: 0 }, { ...FACTS, crashes: 3 }]) {
      const outcome = { ...outcomeOf(kind), reason: 'x'.repeat(100_000) } as Outcome;
      const settlement = settlementOf(outcome, facts) as { reason?: string; detail?: string };
      for (const text of [settlement.reason ?? '', settlement.detail ?? '']) assert.ok(text.length <= 500);
    }
  }
});
