import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget, type Call } from '../../src/dispatcher/budget.ts';
import { heldOf, type Load, Pressure } from '../../src/dispatcher/pressure.ts';
import type { Entry } from '../../src/dispatcher/ledger.ts';
import { Lane } from '../../src/lane/lane.ts';
import { merchant } from '../helpers/deliveries.ts';

function full(limit: number): Budget {
  const budget = new Budget(limit);
  const lane = {
    shard: 0,
    latencyMs: 0,
    quickMs: 0,
    normalMs: 0,
    longestAnswerMs: 0,
    merchant: { timeoutMs: 15_000 },
    inFlight: 0,
    isHanging: false,
    overAge: 0,
    hanging: 0,
    slow: 0,
  };
  for (let i = 0; i < limit; i++) {
    const call: Call = { startedAt: 0, overAge: false, earlier: undefined, later: undefined, lane };
    budget.started(call);
  }
  return budget;
}

/** Orders that wait, and why. */
function load(waiting: number, why: keyof Load['held'] | 'other' = 'other', window: Partial<Load> = {}): Load {
  const held = { suspect: 0, share: 0, slow: 0, shard: 0, [why]: waiting };
  return {
    waiting,
    held,
    unsettled: 0,
    unsettledBytes: 0,
    capacity: 100,
    capacityBytes: 1000,
    isBlocked: false,
    ...window,
  };
}

test('a budget that stays full while orders wait is said to be too small, after 5 s and once a minute', () => {
  const pressure = new Pressure(100);
  const budget = full(8);
  assert.equal(pressure.judge(budget, load(3), 0), undefined);
  assert.equal(pressure.judge(budget, load(3), 4999), undefined);
  assert.match(pressure.judge(budget, load(3), 5000) ?? '', /all 8 calls of --concurrency are in flight/);
  assert.equal(pressure.judge(budget, load(3), 6000), undefined);
  assert.match(pressure.words ?? '', /larger --concurrency/);
  assert.notEqual(pressure.judge(budget, load(3), 65_000), undefined);
});

test('a burst that is soon over is no lack', () => {
  const pressure = new Pressure(100);
  const budget = full(8);
  pressure.judge(budget, load(3), 0);
  assert.equal(pressure.judge(budget, load(0), 3000), undefined);
  assert.equal(pressure.judge(budget, load(3), 6000), undefined);
  assert.equal(pressure.words, undefined);
});

test('what else keeps orders waiting that a larger number would let go is said too', () => {
  const cases: readonly (readonly [Load, RegExp])[] = [
    [load(5, 'suspect'), /5 orders of merchants that nothing is known of wait: a larger --concurrency/],
    [load(5, 'share'), /5 orders wait because their merchants have their share of the 8 calls of --concurrency/],
    [
      load(5, 'slow'),
      /5 orders wait because merchants that take many times what is usual have their half of the 8 calls/,
    ],
    [
      load(5, 'other', { unsettled: 100 }),
      /all 100 orders that --prefetch has room for are in hand and cannot start, 0 of 8 calls are in flight: a larger --prefetch/,
    ],
    [load(5, 'other', { unsettled: 100, isBlocked: true }), /all 100 orders .* the broker takes no messages/],
    [
      load(5, 'other', { unsettled: 20, capacity: 20 }),
      /all 20 orders that --window-bytes has room for .* a larger --window-bytes/,
    ],
    [load(5, 'other', { unsettled: 20, unsettledBytes: 1000 }), /all 20 orders that --window-bytes has room for/],
  ];
  for (const [each, words] of cases) {
    const pressure = new Pressure(100);
    pressure.judge(new Budget(8), each, 0);
    assert.match(pressure.judge(new Budget(8), each, 5000) ?? '', words);
  }
});

test('orders that no gate keeps wait for a thread, but for those of merchants that catch up, which are to wait', () => {
  const [late, other] = [new Lane<Entry>(merchant({ id: 'late' }), 0), new Lane<Entry>(merchant({ id: 'other' }), 0)];
  late.catchesUp = true;
  [late.waiting, other.waiting] = [5, 3];
  const none = { suspect: 0, share: 0, slow: 0 };
  assert.deepEqual(
    heldOf([late, other], () => undefined),
    { ...none, shard: 3 },
  );
  assert.deepEqual(
    heldOf([late, other], () => 'share'),
    { ...none, share: 8, shard: 0 },
  );
});
