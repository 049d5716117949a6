import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { DELIVERED, Rig } from './neighbours.ts';

const SILENT: ThreadOutcome = { kind: 'ambiguous', reason: 'no answer within 15000 ms' };
const BROKEN: ThreadOutcome = { kind: 'ambiguous', reason: 'the merchant answered 500', status: 500 };

/** Orders of merchant `a`, one after the other, each with an attempt that comes to this. */
function attempts(rig: Rig, outcomes: readonly ThreadOutcome[], first = 1): void {
  outcomes.forEach((outcome, index) => {
    const name = `a${first + index}`;
    rig.receive({ identity: name, orderId: name, merchantId: 'a' });
    rig.end(name, outcome);
  });
}

test("a merchant's first failure is told with its reason, later ones not, and that it takes orders again", () => {
  const rig = new Rig({}, { id: 'a', concurrency: 10 });
  attempts(rig, [DELIVERED, BROKEN, BROKEN, BROKEN, DELIVERED, DELIVERED]);
  assert.deepEqual(rig.news, [
    {
      merchant: 'a',
      order: 'a2',
      attempt: 1,
      outcome: 'ambiguous',
      status: 500,
      reason: 'the merchant answered 500',
      message: 'attempts at this merchant fail; told once until it takes an order again',
    },
    { merchant: 'a', count: 3, reason: 'the merchant answered 500', message: 'this merchant takes orders again' },
  ]);
});

test('a merchant that fails and answers in turn is told of once a minute', () => {
  const rig = new Rig({}, { id: 'a', concurrency: 10 });
  attempts(rig, [BROKEN, DELIVERED, BROKEN, DELIVERED, BROKEN, DELIVERED]);
  assert.equal(rig.news.length, 2);
  rig.clock.pass(60_000);
  attempts(rig, [BROKEN, BROKEN, DELIVERED], 7);
  assert.equal(rig.news.length, 4);
});

test("the statistics show each lane's last failure until an order is delivered", () => {
  const rig = new Rig({}, { id: 'a', concurrency: 10 });
  attempts(rig, [BROKEN, SILENT]);
  rig.source.confirm(rig.dispatcher);
  assert.equal(rig.dispatcher.snapshot().slowest[0]?.failure, 'no answer within 15000 ms');
  attempts(rig, [DELIVERED], 3);
  assert.equal(rig.dispatcher.snapshot().slowest[0]?.failure, undefined);
});
