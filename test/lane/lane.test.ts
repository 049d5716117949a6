import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Lane, type Waiting } from '../../src/lane/lane.ts';
import { merchant } from '../helpers/deliveries.ts';

interface Numbered extends Waiting {
  readonly number: number;
  next: Numbered | undefined;
}

function numbered(number: number): Numbered {
  return { number, next: undefined };
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

test('an order may start while one waits and fewer are in flight than the merchant may have, by its newest entry', () => {
  const lane1 = lane(2);
  assert.equal(lane1.mayStart, false);
  lane1.push(numbered(1));
  for (const [inFlight, mayStart] of [
    [0, true],
    [1, true],
    [2, false],
    [3, false],
  ] as const) {
    lane1.inFlight = inFlight;
    assert.equal(lane1.mayStart, mayStart, `${inFlight} in flight`);
  }
  lane1.merchant = merchant({ concurrency: 4 });
  assert.equal(lane1.mayStart, true);
});

test('a lane is idle only with nothing waiting and nothing in flight', () => {
  const lane1 = lane();
  assert.equal(lane1.isIdle, true);
  lane1.inFlight = 1;
  assert.equal(lane1.isIdle, false);
});

test('the first answer is the average, and later ones move it a tenth of the way', () => {
  const lane1 = lane();
  assert.equal(lane1.latencyMs, 0);
  lane1.answered(200);
  assert.equal(lane1.latencyMs, 200);
  lane1.answered(300);
  assert.equal(lane1.latencyMs, 210);
});
