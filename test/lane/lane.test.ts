import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ending, NEITHER } from '../../src/lane/ending.ts';
import { Lane, type Waiting } from '../../src/lane/lane.ts';
import { BREAKER } from '../../src/order.ts';
import { merchant } from '../helpers/deliveries.ts';

interface Numbered extends Waiting {
  readonly number: number;
  next: Numbered | undefined;
}

function numbered(number: number): Numbered {
  return { number, next: undefined, bytes: number };
}

function lane(concurrency = 50): Lane<Numbered> {
  return new Lane<Numbered>(merchant({ concurrency }), 0);
}

function emptied(from: Lane<Numbered>): (number | undefined)[] {
  const numbers: (number | undefined)[] = [];
  while (from.waiting > 0) numbers.push(from.shift()?.number);
  assert.equal(from.shift(), undefined);
  return numbers;
}

test('orders leave a lane in the order in which they came, and one that was put back goes first', () => {
  const lane1 = lane();
  for (const number of [1, 2, 3]) lane1.push(numbered(number));
  const first = lane1.shift() as Numbered;
  const second = lane1.shift() as Numbered;
  lane1.unshift(second);
  lane1.unshift(first);
  lane1.push(numbered(4));
  assert.deepEqual(emptied(lane1), [1, 2, 3, 4]);
});

test('whatever happens to it, a lane is a queue', () => {
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.constant('push' as const) },
    { weight: 2, arbitrary: fc.constant('unshift' as const) },
    { weight: 4, arbitrary: fc.constant('shift' as const) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) }, // keep every nth
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
      const real = lane();
      let model: number[] = [];
      // An order that was taken out may be put back, as after a thread's loss.
      const out: Numbered[] = [];
      let made = 0;
      for (const command of commands) {
        if (command === 'push') {
          real.push(numbered(++made));
          model.push(made);
        } else if (command === 'unshift') {
          const order = out.pop() ?? numbered(++made);
          real.unshift(order);
          model.unshift(order.number);
        } else if (command === 'shift') {
          const order = real.shift();
          assert.equal(order?.number, model.shift());
          if (order !== undefined) out.push(order);
        } else {
          const removed = real.keepOnly(({ number }) => number % command === 0);
          assert.deepEqual(
            removed.map(({ number }) => number),
            model.filter((number) => number % command !== 0),
          );
          model = model.filter((number) => number % command === 0);
        }
        assert.equal(real.waiting, model.length);
        assert.equal(real.isIdle, model.length === 0);
      }
      assert.deepEqual(emptied(real), model);
    }),
    { numRuns: 500 },
  );
});

const ANSWERED: Ending = { told: 'answered', overloaded: false, retryAfterMs: undefined };
const FAILED: Ending = { ...ANSWERED, told: 'failed' };

/** A call from `from` to `to`. */
function call(on: Lane<Numbered>, from: number, to: number, ending: Ending = ANSWERED): void {
  on.ended(on.started(from), from, ending, to);
}

test('the bytes that wait are those of the orders that wait', () => {
  const lane1 = lane();
  for (const number of [1, 2, 3]) lane1.push(numbered(number));
  const first = lane1.shift() as Numbered;
  assert.equal(lane1.waitingBytes, 5);
  lane1.unshift(first);
  lane1.keepOnly(({ number }) => number !== 2);
  assert.equal(lane1.waitingBytes, 4);
});

test('it holds its next order back while as many are in flight as it may have, by its newest entry', () => {
  const lane1 = lane(2);
  assert.equal(lane1.gate(0), undefined);
  lane1.started(0);
  assert.equal(lane1.gate(0), undefined);
  const era = lane1.started(0);
  assert.equal(lane1.gate(0), 'limit');
  lane1.merchant = merchant({ concurrency: 1 });
  lane1.ended(era, 0, ANSWERED, 10);
  assert.equal(lane1.gate(10), 'limit');
});

test('each of its gates holds it, and says so', () => {
  const paused = lane();
  paused.merchant = merchant({ paused: true });
  assert.equal(paused.gate(0), 'pause');

  const broken = lane();
  for (const at of [100, 1100]) call(broken, 0, at, FAILED);
  assert.deepEqual([broken.gate(1100), broken.opensAt(1100)], ['breaker', 6100]);

  const rated = lane();
  rated.merchant = merchant({ ratePerSecond: 2 });
  for (let i = 0; i < 2; i++) rated.started(0);
  assert.deepEqual([rated.gate(0), rated.opensAt(0)], ['rate', 500]);
  rated.merchant = merchant({});
  assert.equal(rated.gate(0), undefined);
});

const OVERLOADED: Ending = { ...ANSWERED, overloaded: true };

test('a merchant that has too many is left alone for as long as it asks', () => {
  const lane1 = lane();
  call(lane1, 0, 100, { ...OVERLOADED, retryAfterMs: 120_000 });
  assert.deepEqual([lane1.gate(100), lane1.opensAt(100)], ['hold', 120_100]);
  assert.deepEqual([lane1.gate(120_099), lane1.gate(120_100)], ['hold', undefined]);
  call(lane1, 130_000, 130_000, { ...OVERLOADED, retryAfterMs: 5_000 });
  assert.equal(lane1.opensAt(130_000), 135_000);
});

test('when it does not say for how long, its limit is cut, and in a row it is held for twice as long each time', () => {
  const lane1 = lane();
  const eras = [lane1.started(0), lane1.started(0), lane1.started(0)];
  for (const era of eras) lane1.ended(era, 0, OVERLOADED, 100);
  assert.equal(lane1.gate(100), undefined, 'what was in flight together is one overload');
  assert.equal(lane1.limit.value, 35);
  call(lane1, 8000, 8000, OVERLOADED);
  assert.equal(lane1.opensAt(8000), 9000);
  call(lane1, 9000, 9000, OVERLOADED);
  assert.equal(lane1.opensAt(9000), 11_000);
  call(lane1, 20_000, 20_100);
  call(lane1, 21_000, 21_000, OVERLOADED);
  assert.equal(lane1.gate(21_000), undefined, 'an answer ends the row');
});

test('a merchant that takes less than one call at a time gets them with pauses between them', () => {
  const lane1 = lane(1);
  call(lane1, 0, 100);
  for (let at = 1000; at < 4000; at += 1000) call(lane1, at, at, OVERLOADED);
  const { mean } = lane1.limit;
  assert.ok(mean < 1);
  assert.equal(lane1.servesPerSecond, mean * 10);
  lane1.ended(lane1.started(60_000), 60_000, NEITHER, 60_010);
  const opensAt = lane1.opensAt(60_010);
  assert.ok(opensAt > 60_010 && opensAt <= 60_000 + 100 / mean);
  assert.deepEqual([lane1.gate(opensAt - 1), lane1.gate(opensAt)], ['limit', undefined]);
});

test('a pause is no longer than ten seconds, and shorter as soon as an answer says so', () => {
  const lane1 = lane(1);
  call(lane1, 0, 2000);
  for (let at = 100_000; at < 3_000_000; at += 100_000) call(lane1, at, at, OVERLOADED);
  const era = lane1.started(4_000_000);
  assert.ok(lane1.opensAt(4_000_000) <= 4_010_000);
  lane1.ended(era, 4_000_000, ANSWERED, 4_002_000);
  for (let at = 4_010_000; at < 4_060_000; at += 5_000) call(lane1, at, at + 2_000);
  assert.equal(lane1.limit.mean, 1);
  assert.equal(lane1.gate(4_060_000), undefined);
});

test('one failure says nothing of how many calls it takes, two in a row do', () => {
  const lane1 = lane();
  for (let at = 0; at < 10_000; at += 1000) {
    call(lane1, at, at + 80);
    call(lane1, at + 200, at + 210, FAILED);
  }
  call(lane1, 15_000, 15_080);
  assert.equal(lane1.limit.value, 50);
  const eras = Array.from({ length: 3 }, () => lane1.started(20_000));
  for (const era of eras) lane1.ended(era, 20_000, FAILED, 35_000);
  assert.equal(
    lane1.limit.value,
    35,
    'what was in flight together is cut once, and for one event the breaker stays closed',
  );
});

test('a merchant that has stood still begins anew with one call at a time, and soon has many', () => {
  const lane1 = lane();
  call(lane1, 0, 80);
  for (const at of [1000, 2000]) call(lane1, at, at, FAILED);
  assert.deepEqual([lane1.gate(2000), lane1.limit.value], ['breaker', 1]);
  call(lane1, 7000, 7080);
  const values = [lane1.limit.value];
  for (let at = 7100; values.length < 5; at += 100) {
    const round = Array.from({ length: lane1.limit.value }, () => lane1.started(at));
    for (const [nth, era] of round.entries()) lane1.ended(era, at, ANSWERED, at + 80 + nth / 100);
    values.push(lane1.limit.value);
  }
  assert.deepEqual(
    values,
    values.toSorted((a, b) => a - b),
  );
  assert.ok((values.at(-1) as number) >= 10, values.join());
});

test('whoever resumes a paused merchant ends its hold, too', () => {
  const lane = new Lane<Waiting>(merchant({}), 0);
  lane.holdUntil = 86_400_000;
  lane.merchant = merchant({ paused: true });
  assert.equal(lane.gate(0), 'pause');
  lane.merchant = merchant({ paused: true, ratePerSecond: 5 });
  lane.merchant = merchant({});
  assert.equal(lane.gate(0), undefined);
});

test('an answer with a time to be left alone holds it, whatever its status, and none shortens a hold', () => {
  const lane1 = lane();
  call(lane1, 0, 100, { ...ANSWERED, retryAfterMs: 30_000 });
  call(lane1, 0, 200, { ...ANSWERED, retryAfterMs: 1_000 });
  assert.deepEqual([lane1.gate(30_099), lane1.gate(30_100)], ['hold', undefined]);
  assert.equal(lane1.limit.value, 50);
});

test('another rate does not fill what was used up', () => {
  const lane1 = lane();
  lane1.merchant = merchant({ ratePerSecond: 20 });
  for (let i = 0; i < 20; i++) {
    assert.equal(lane1.gate(0), undefined);
    lane1.started(0);
  }
  lane1.merchant = merchant({ ratePerSecond: 19 });
  assert.equal(lane1.gate(0), 'rate');
  assert.equal(lane1.gate(60), undefined);
  assert.equal(lane1.opensAt(60), 0);
});

test('a refusal is no answer to learn the latency from', () => {
  const lane1 = lane();
  call(lane1, 0, 5, OVERLOADED);
  assert.equal(lane1.latencyMs, 0);
});

test('it is a suspect while it may be hanging: a call over age, a failure unanswered, or nothing known of it', () => {
  const lane1 = lane();
  assert.equal(lane1.isSuspect, false);
  const era = lane1.started(0);
  assert.equal(lane1.isSuspect, true, 'in flight, and nothing is known');
  lane1.ended(era, 0, ANSWERED, 80);
  lane1.started(80);
  assert.equal(lane1.isSuspect, false);
  lane1.overAge = 1;
  assert.equal(lane1.isSuspect, true);
  lane1.overAge = 0;
  call(lane1, 80, 15_080, FAILED);
  assert.equal(lane1.isSuspect, true);
  lane1.inFlight--; // the one from before
  assert.equal(lane1.isSuspect, false, 'it answered before, and may try one');
  lane1.started(15_080);
  assert.equal(lane1.isSuspect, true, 'one at a time');
  call(lane1, 16_000, 16_080);
  assert.equal(lane1.isSuspect, false);
});

test('the first answer is the average, later ones move it a tenth of the way, and what is not answered does not', () => {
  const lane1 = lane();
  call(lane1, 0, 15_000, FAILED);
  assert.equal(lane1.latencyMs, 0);
  call(lane1, 0, 200);
  assert.equal(lane1.latencyMs, 200);
  call(lane1, 0, 300);
  assert.equal(lane1.latencyMs, 210);
});

test('the longest answer lately is remembered, and fades by a hundredth with each one that took less, and with time', () => {
  const lane1 = lane();
  call(lane1, 0, 15_000, FAILED);
  assert.equal(lane1.longestAnswerMs, 0);
  call(lane1, 0, 3_000);
  for (let answer = 0; answer < 10; answer++) call(lane1, 2_900, 3_000);
  assert.equal(Math.round(lane1.longestAnswerMs), Math.round(3_000 * 0.99 ** 10));
  call(lane1, 100, 3_000);
  assert.equal(lane1.longestAnswerMs, 2_900);
  call(lane1, 32_900, 33_000);
  assert.equal(lane1.longestAnswerMs, 2_900 * (1 - 0.01 - 1 / 2));
  call(lane1, 99_900, 100_000);
  assert.equal(lane1.longestAnswerMs, 100);
});

test('a quick answer counts at once, and those that take longer double what is quick at most', () => {
  const lane1 = lane();
  let now = 0;
  const quick = (tookMs: number): number => {
    now += tookMs + 1;
    call(lane1, now - tookMs, now);
    return lane1.quickMs;
  };
  assert.deepEqual([quick(3_000), quick(100), quick(3_000), quick(3_000)], [3_000, 100, 200, 400]);
  assert.deepEqual([quick(110), quick(200), quick(3_000), quick(3_000)], [110, 200, 400, 800]);
  assert.deepEqual([quick(3_000), quick(3_000)], [1_600, 3_000]);
});

test('slow answers of calls that began before the last quick one do not make a merchant slow', () => {
  const lane1 = lane();
  for (const [startedAt, now] of [
    [10_000, 10_100],
    [7_101, 10_101],
    [7_102, 10_102],
    [9_999, 12_999],
  ] as const)
    call(lane1, startedAt, now);
  assert.equal(lane1.quickMs, 100);
  call(lane1, 10_000, 13_000);
  assert.equal(lane1.quickMs, 200, 'one that began with it does');
});

test('what a merchant takes over minutes is smoothed by time: a thousand answers in a second say little', () => {
  const lane1 = lane();
  call(lane1, 0, 100);
  assert.equal(lane1.normalMs, 100);
  for (let at = 5_000; at < 6_000; at++) call(lane1, at - 4_900, at);
  assert.ok(lane1.latencyMs > 4_800);
  assert.ok(lane1.normalMs < 250, `${lane1.normalMs} after 6 s`);
  call(lane1, 301_100, 306_000);
  assert.ok(lane1.normalMs > 2_400 && lane1.normalMs < 2_600, `${lane1.normalMs} after five minutes more`);
  call(lane1, 306_000, 307_000, FAILED);
  assert.ok(lane1.normalMs < 2_600, 'no answer says nothing');
});

test('one that does not answer any more is not spared for having taken long before', () => {
  const lane1 = lane();
  call(lane1, 0, 3_000);
  call(lane1, 3_000, 18_000, FAILED);
  assert.equal(lane1.longestAnswerMs, 0);
});

test('it serves as many a second as its limit and its latency allow, and no more than its rate', () => {
  const lane1 = lane();
  assert.equal(lane1.servesPerSecond, 50, 'a guess');
  call(lane1, 0, 100);
  assert.equal(lane1.servesPerSecond, 500);
  lane1.merchant = merchant({ ratePerSecond: 5 });
  assert.equal(lane1.servesPerSecond, 5);
});

test('a lane is idle only with nothing waiting, in flight, or on the ladder', () => {
  const lane1 = lane();
  assert.equal(lane1.isIdle, true);
  const era = lane1.started(0);
  assert.equal(lane1.isIdle, false);
  lane1.ended(era, 0, ANSWERED, 1);
  lane1.out = 1;
  assert.equal(lane1.isIdle, false);
});

test('of twenty calls, one over age is no sign; two are', () => {
  const lane = new Lane(merchant(), 0);
  lane.inFlight = 20;
  lane.overAge = 1;
  assert.equal(lane.isHanging, false);
  lane.overAge = 2;
  assert.equal(lane.isHanging, true);
});

test('a breaker that the directory has changed counts at once', () => {
  const of = new Lane<Numbered>(merchant({ breaker: { ...BREAKER, failures: 1, waitMs: 1000 } }), 0);
  const fail = (now: number): void =>
    of.ended(of.started(now), now, { told: 'failed', overloaded: false, retryAfterMs: undefined }, now);
  fail(0);
  assert.equal(of.gate(999), 'breaker');
  of.merchant = merchant({ breaker: { ...BREAKER, waitMs: 9000 } });
  fail(1000);
  assert.deepEqual([of.gate(18_999), of.gate(19_000)], ['breaker', undefined]);
});
