import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPlan } from '../../src/cli/dlq-flags.ts';

test('what is not said is safe: a dry run, dead letters, 50 a second', () => {
  const plan = readPlan({ action: 'replay', all: true });
  assert.deepEqual([plan.execute, plan.from, plan.ratePerSecond, plan.limit], [false, 'dead', 50, undefined]);
  assert.equal(readPlan({ action: 'show' }).limit, 10);
});

test('merchants, reasons and orders can be several, and are text even if they look like numbers', () => {
  const { filter } = readPlan({ action: 'ls', merchant: ['1', 'm,2'], reason: 'expired', 'older-than': '2h' });
  assert.deepEqual(filter, { merchants: new Set(['1', 'm,2']), reasons: new Set(['expired']), olderThanMs: 7_200_000 });
});

test('a rate is per second unless it says otherwise', () => {
  for (const [rate, perSecond] of [
    ['100', 100],
    ['100/s', 100],
    ['30/m', 0.5],
  ] as const)
    assert.equal(readPlan({ action: 'replay', all: true, rate }).ratePerSecond, perSecond);
});

test('what cannot be meant is refused with what was expected', () => {
  for (const [flags, message] of [
    [{}, 'dlq: expected ls, show, replay or drop; got none'],
    [{ action: 'replya' }, 'dlq: expected ls, show, replay or drop; got "replya". Did you mean replay?'],
    [{ action: 'ls', from: 'orders' }, '--from: expected dead or ambiguous; got "orders"'],
    [{ action: 'ls', 'older-than': '2' }, '--older-than: expected a duration such as 30m, 2h or 7d; got "2"'],
    [{ action: 'replay', all: true, rate: '0' }, '--rate: expected a rate above 0 such as 100/s or 30/m; got "0"'],
    [{ action: 'show', limit: '-1' }, '--limit: expected a whole number from 0 to 1000000000, such as 100; got "-1"'],
    [{ action: 'ls', execute: true }, '--execute: expected with dlq replay or drop; got dlq ls'],
    [{ action: 'drop', rate: '5' }, '--rate: expected with dlq replay; got dlq drop'],
    [
      { action: 'drop', all: true, merchant: 'm-1' },
      '--all: expected nothing else that says which dead letters; got both',
    ],
  ] as const)
    assert.throws(() => readPlan(flags), { code: 'USAGE', message });
});
