import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget } from '../../src/dispatcher/budget.ts';
import { noteProgress, noteStandstill } from '../../src/dispatcher/catching-up.ts';
import type { Entry } from '../../src/dispatcher/ledger.ts';
import { Lane } from '../../src/lane/lane.ts';
import { merchant } from '../helpers/deliveries.ts';

const MINUTE = 60_000;

function struck(at: number): Lane<Entry> {
  const lane = new Lane<Entry>(merchant(), 0);
  noteStandstill(lane, 'breaker', new Budget(10), at);
  return lane;
}

test('a lane catches up until nothing of it waits or is on the ladder', () => {
  const lane = struck(0);
  assert.equal(lane.catchesUp, true);
  lane.waiting = 1;
  noteProgress(lane, 1000);
  assert.equal(lane.catchesUp, true);
  lane.waiting = 0;
  lane.out = 1;
  noteProgress(lane, 1000);
  assert.equal(lane.catchesUp, true);
  lane.out = 0;
  noteProgress(lane, 1000);
  assert.equal(lane.catchesUp, false);
});

test('retries that are on the ladder at all times do not keep it from having caught up, a minute after it stood still', () => {
  const lane = struck(0);
  lane.out = 3;
  noteStandstill(lane, 'hold', new Budget(10), MINUTE);
  noteProgress(lane, 2 * MINUTE);
  assert.equal(lane.catchesUp, true);
  noteProgress(lane, 2 * MINUTE + 5_000);
  assert.equal(lane.catchesUp, false);
});

test('a thread that stands still, a limit, a rate and a share leave nobody behind', () => {
  for (const gate of ['shard', 'limit', 'rate', 'share'] as const) {
    const lane = new Lane<Entry>(merchant(), 0);
    lane.failing = gate === 'shard';
    noteStandstill(lane, gate, new Budget(10), 0);
    assert.equal(lane.catchesUp, false, gate);
  }
});

test('a merchant that wants to be left alone for a second leaves nothing behind, one that does for two does', () => {
  const lane = new Lane<Entry>(merchant(), 0);
  const holds = (at: number): boolean => {
    noteStandstill(lane, 'hold', new Budget(10), at);
    return lane.catchesUp;
  };
  lane.holdUntil = 1_000;
  assert.deepEqual([holds(0), holds(900)], [false, false]);
  lane.holdUntil = 3_000;
  assert.deepEqual([holds(1_001), holds(1_000), holds(2_900)], [false, true, true]);
});

test('whoever hangs for a moment is not left behind, and who does again later has hung for no longer than that', () => {
  const lane = new Lane<Entry>(merchant(), 0);
  const budget = new Budget(10);
  const hangs = (at: number): boolean => {
    lane.failing = true;
    noteStandstill(lane, 'limit', budget, at);
    return lane.catchesUp;
  };
  assert.equal(hangs(0), false);
  assert.equal(hangs(1_900), false);
  lane.failing = false;
  noteProgress(lane, 1_950);
  assert.equal(hangs(10_000), false);
  assert.equal(hangs(11_900), false);
  assert.equal(hangs(12_000), true);
});

test('a lane that hangs, or is slow beside the others, has to catch up whatever holds it', () => {
  const hanging = new Lane<Entry>(merchant(), 0);
  hanging.failing = true;
  const slow = new Lane<Entry>(merchant(), 0);
  slow.latencyMs = 5000;
  slow.quickMs = 5000;
  const budget = new Budget(10);
  budget.delivered(0, 80);
  for (const lane of [hanging, slow]) {
    for (const at of [0, 2_000]) noteStandstill(lane, 'limit', budget, at);
    assert.equal(lane.catchesUp, true);
  }
});

test('what one that has always taken as long has waiting is not left behind: it does not catch up', () => {
  const budget = new Budget(20);
  const lane = new Lane<Entry>(merchant({ concurrency: 1 }), 0);
  for (let i = 0; i < 100; i++) budget.delivered(0, 80);
  lane.latencyMs = 600;
  lane.quickMs = 600;
  lane.normalMs = 400;
  noteStandstill(lane, 'limit', budget, 0);
  assert.equal(lane.catchesUp, false);
  lane.normalMs = 200;
  noteStandstill(lane, 'limit', budget, 0);
  assert.equal(lane.catchesUp, true, 'it has slowed down');
});
