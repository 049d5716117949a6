import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Budget, type Call, shareOf } from '../../src/dispatcher/budget.ts';

class TestLane {
  readonly shard: number = 0;
  latencyMs = 80;
  quickMs = 80;
  normalMs = 80;
  longestAnswerMs = 100;
  readonly merchant = { timeoutMs: 15_000 };
  inFlight = 0;
  failing = false;
  overAge = 0;
  hanging = 0;
  slow = 0;

  get isHanging(): boolean {
    return this.overAge > 0 || this.failing;
  }
}

function start(budget: Budget, lane: TestLane, startedAt: number): Call {
  const call: Call = { startedAt, overAge: false, earlier: undefined, later: undefined, lane };
  lane.inFlight++;
  budget.started(call);
  return call;
}

function end(budget: Budget, call: Call): void {
  (call.lane as TestLane).inFlight--;
  budget.ended(call);
}

/** On which calls of a shard are answered quickly. */
function answering(limit: number): Budget {
  const budget = new Budget(limit);
  budget.delivered(0, 1);
  return budget;
}

test('as long as a shard has no answer at all, no call of it is over age', () => {
  const budget = new Budget(100);
  const lane = new TestLane();
  lane.latencyMs = 0;
  start(budget, lane, 0);
  budget.age(14_000);
  assert.equal(budget.overAge, 0);
  budget.delivered(0, 80);
  budget.age(14_100);
  assert.equal(budget.overAge, 1);
});

test('merchants that answer but take many times what is usual hold half of the budget together', () => {
  const budget = new Budget(10);
  const [quick, slow] = [new TestLane(), new TestLane()];
  slow.latencyMs = 5000;
  slow.quickMs = 5000;
  const calls = Array.from({ length: 4 }, () => start(budget, slow, 0));
  assert.equal(budget.servesSlow, true);
  for (let i = 0; i < 100; i++) budget.delivered(0, 80);
  calls.push(start(budget, slow, 0));
  assert.deepEqual([budget.isSlow(quick), budget.isSlow(slow), budget.servesSlow], [false, true, false]);
  end(budget, calls[0] as Call);
  assert.equal(budget.servesSlow, true);
});

test('of what is free a part is somebody’s share, and at least one', () => {
  assert.deepEqual(
    [400, 40, 7, 4, 3, 0, -5].map((free) => shareOf(free, 1 / 4)),
    [100, 10, 1, 1, 1, 1, 1],
  );
});

test('a merchant may hold as many as are free, and a heavier one as many times more as it is heavier', () => {
  const budget = new Budget(40);
  const lane = new TestLane();
  for (let i = 0; i < 30; i++) start(budget, lane, 0);
  assert.deepEqual([budget.share(1), budget.share(3)], [10, 30]);
});

test('of a large budget many merchants can use all: a two-hundredth is always theirs', () => {
  const budget = new Budget(4000);
  const lane = new TestLane();
  for (let i = 0; i < 3999; i++) start(budget, lane, 0);
  assert.deepEqual([budget.share(1), budget.share(2)], [20, 40]);
});

test('a call is over age past four times its merchant’s usual latency, and half a second at least', () => {
  const budget = new Budget(100);
  budget.delivered(0, 1);
  const quick = new TestLane();
  const slow = new TestLane();
  slow.latencyMs = 500;
  const calls = [start(budget, quick, 0), start(budget, slow, 0)];
  budget.age(500);
  assert.equal(budget.overAge, 0);
  budget.age(501);
  assert.deepEqual([quick.overAge, slow.overAge], [1, 0]);
  budget.age(2001);
  budget.age(2101);
  assert.deepEqual([quick.overAge, slow.overAge, budget.overAge], [1, 1, 2]);
  for (const call of calls) end(budget, call);
  assert.deepEqual([quick.overAge, slow.overAge, budget.overAge, budget.used], [0, 0, 0, 0]);
});

test('a call of a merchant that takes 3 s now and then is not over age before it takes half as long again', () => {
  const budget = answering(100);
  const lane = new TestLane();
  lane.longestAnswerMs = 3_000;
  start(budget, lane, 0);
  budget.age(4_500);
  assert.equal(budget.overAge, 0);
  lane.longestAnswerMs = 2_990; // the next answer took less
  budget.age(4_500);
  assert.equal(budget.overAge, 1);
  lane.longestAnswerMs = 14_000;
  budget.age(5_000);
  assert.equal(budget.overAge, 0);
  budget.age(5_001);
  assert.equal(budget.overAge, 1, 'a third of its time-out is enough');
});

test('while a shard needs long for its quickest answers, its calls are not over age', () => {
  const budget = new Budget(100);
  const lane = new TestLane();
  start(budget, lane, 0);
  budget.delivered(0, 0);
  for (let i = 0; i < 1000; i++) budget.delivered(0, 1000);
  budget.age(3000);
  assert.equal(budget.overAge, 0);
  for (let i = 0; i < 300; i++) budget.delivered(0, i % 2 === 0 ? 80 : 5000);
  budget.age(3000);
  assert.equal(budget.overAge, 1, 'half of its answers are quick');
  for (let i = 0; i < 1000; i++) budget.delivered(0, 2000);
  budget.age(3100);
  assert.equal(budget.overAge, 0, 'a call is judged anew each time');
});

test('suspects start nothing while merchants that hang hold a quarter, and all calls of such a merchant count', () => {
  const budget = answering(16);
  const lane = new TestLane();
  const first = start(budget, lane, 0);
  for (let i = 0; i < 4; i++) start(budget, lane, 400);
  assert.equal(budget.trustsSuspects, true, 'nobody hangs yet, for all anybody knows');
  budget.age(501);
  assert.equal(budget.overAge, 1);
  assert.equal(budget.trustsSuspects, false);
  end(budget, first);
  assert.equal(budget.trustsSuspects, true, 'the one that was over age is gone');
  lane.failing = true;
  start(budget, lane, 600);
  assert.equal(budget.trustsSuspects, false, 'its last call was not answered');
});

test('whatever starts, ends and ages, the counts are those of the calls in flight', () => {
  const step = fc.record({ lane: fc.nat({ max: 2 }), end: fc.boolean(), at: fc.nat(), pass: fc.nat({ max: 400 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const budget = answering(10);
      const lanes = [new TestLane(), new TestLane(), new TestLane()];
      (lanes[2] as TestLane).latencyMs = 375;
      let inFlight: Call[] = [];
      let now = 0;
      for (const { lane, end: isEnd, at, pass } of steps) {
        now += pass;
        budget.age(now);
        for (const { startedAt, overAge, lane: of } of inFlight) {
          assert.equal(overAge, now - startedAt > Math.max(500, 4 * of.latencyMs));
        }
        if (isEnd && inFlight.length > 0) {
          const call = inFlight[at % inFlight.length] as Call;
          inFlight = inFlight.filter((other) => other !== call);
          end(budget, call);
        } else {
          inFlight.push(start(budget, lanes[lane] as TestLane, now));
        }
        assert.equal(budget.used, inFlight.length);
        assert.equal(budget.overAge, inFlight.filter(({ overAge }) => overAge).length);
        const hanging = inFlight.filter(({ lane: of }) => of.overAge > 0).length;
        assert.equal(budget.trustsSuspects, hanging < 2.5);
      }
    }),
  );
});
