import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { LoopUse } from '../src/loop-use.ts';

/** A loop whose busy and idle milliseconds a test sets, under a clock of the test's. */
function rig(t: TestContext): { use: LoopUse; pass: (active: number, idle: number) => void } {
  const total = { active: 0, idle: 0, utilization: 0 };
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const pass = (active: number, idle: number): void => {
    total.active += active;
    total.idle += idle;
    now += active + idle;
  };
  return { use: new LoopUse(() => ({ ...total })), pass };
}

test('the first reading is about all the time since the start, each later one about the time since the one before', (t) => {
  const { use, pass } = rig(t);
  pass(300, 700);
  assert.equal(use.read(), 0.3);
  pass(2000, 0);
  assert.equal(use.read(), 1);
  pass(0, 5000);
  assert.equal(use.read(), 0);
});

test('whoever asks again within a second gets the same, and takes nothing from the next reading', (t) => {
  const { use, pass } = rig(t);
  pass(100, 900);
  assert.equal(use.read(), 0.1);
  pass(500, 0);
  assert.equal(use.read(), 0.1);
  pass(0, 500);
  assert.equal(use.read(), 0.5);
});

test('a loop that has not run yet is not busy', (t) => {
  assert.equal(rig(t).use.read(), 0);
});

test('with a reader of its own there may be less between two readings', (t) => {
  const total = { active: 100, idle: 0, utilization: 0 };
  let now = 100;
  t.mock.method(performance, 'now', () => now);
  const use = new LoopUse(() => ({ ...total }), 0);
  assert.equal(use.read(), 1);
  now += 10;
  total.idle += 10;
  assert.equal(use.read(), 0);
});
