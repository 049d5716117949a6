import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget, type Call } from '../../src/dispatcher/budget.ts';
import { Pressure } from '../../src/dispatcher/pressure.ts';

function full(limit: number): Budget {
  const budget = new Budget(limit);
  const lane = { shard: 0, latencyMs: 0, inFlight: 0, isHanging: false, overAge: 0, hanging: 0 };
  for (let i = 0; i < limit; i++) {
    const call: Call = { startedAt: 0, overAge: false, earlier: undefined, later: undefined, lane };
    budget.started(call);
  }
  return budget;
}

test('a budget that stays full while orders wait is said to be too small, after 5 s and once a minute', () => {
  const pressure = new Pressure();
  const budget = full(8);
  assert.equal(pressure.judge(budget, 3, 0, 0), undefined);
  assert.equal(pressure.judge(budget, 3, 0, 4999), undefined);
  assert.match(pressure.judge(budget, 3, 0, 5000) ?? '', /all 8 calls of --concurrency are in flight/);
  assert.equal(pressure.judge(budget, 3, 0, 6000), undefined);
  assert.match(pressure.words ?? '', /larger --concurrency/);
  assert.notEqual(pressure.judge(budget, 3, 0, 65_000), undefined);
});

test('a burst that is soon over is no lack', () => {
  const pressure = new Pressure();
  const budget = full(8);
  pressure.judge(budget, 3, 0, 0);
  assert.equal(pressure.judge(budget, 0, 0, 3000), undefined);
  assert.equal(pressure.judge(budget, 3, 0, 6000), undefined);
  assert.equal(pressure.words, undefined);
});

test('merchants that are held because others hang are said too', () => {
  const pressure = new Pressure();
  const budget = new Budget(8);
  pressure.judge(budget, 5, 5, 0);
  assert.match(pressure.judge(budget, 5, 5, 5000) ?? '', /merchants that nothing is known of yet start no more/);
});
