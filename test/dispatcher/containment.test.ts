import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Containment } from '../../src/dispatcher/containment.ts';
import { type Entry, entryOf, keyOf } from '../../src/dispatcher/ledger.ts';
import { Lane } from '../../src/lane/lane.ts';
import { delivery, merchant } from '../helpers/deliveries.ts';

function entryFor(id: string, shard = 0): Entry {
  const of = delivery({ merchantId: id });
  const entry = entryOf(of, new Lane<Entry>(merchant({ id }), shard), keyOf(of), false, 0);
  entry.state = 'in-flight';
  return entry;
}

function nextOf(entry: Entry): Entry {
  return { ...entryFor(entry.lane.merchantId), lane: entry.lane };
}

/** One that has seen a shard lost without a name: the next is no chance. */
function lostOnce(): Containment {
  const containment = new Containment();
  for (const shard of [0, 1]) containment.lost(shard, undefined, [], 0);
  return containment;
}

test('one loss that nobody is known to have caused makes nobody a suspect, a second within ten minutes does', () => {
  const containment = new Containment();
  const a = entryFor('a');
  containment.lost(0, undefined, [a], 0);
  assert.equal(a.lane.quarantined, false);
  containment.lost(0, undefined, [a], 600_000);
  assert.equal(a.lane.quarantined, false);
  containment.lost(0, undefined, [a], 1_199_999);
  assert.equal(a.lane.quarantined, true);
});

test('a loss that nobody is known to have caused makes everybody who was sending a suspect, and blames nobody', () => {
  const containment = lostOnce();
  const [a, b, c] = [entryFor('a'), entryFor('b'), entryFor('c')];
  assert.equal(containment.lost(0, undefined, [a, b], 0), undefined);
  assert.deepEqual([...containment.quarantined], [a.lane, b.lane]);
  assert.deepEqual(
    [a, b, c].map((each) => containment.mayStart(each.lane, 0)),
    [true, true, true],
    'nobody is held yet',
  );
});

test('suspects of a shard run one at a time, those of another shard and the innocent beside them', () => {
  const containment = lostOnce();
  const [a, b, innocent, elsewhere] = [entryFor('a'), entryFor('b'), entryFor('c'), entryFor('d', 1)];
  containment.lost(0, undefined, [a, b], 0);
  containment.lost(1, undefined, [elsewhere], 0);
  containment.started(a);
  assert.equal(containment.mayStart(a.lane, 0), false);
  assert.equal(containment.mayStart(b.lane, 0), false);
  assert.equal(containment.mayStart(innocent.lane, 0), true);
  assert.equal(containment.mayStart(elsewhere.lane, 0), true);
});

test('a suspect whose attempt comes back is none any more, and the next one may start', () => {
  const containment = lostOnce();
  const [a, b] = [entryFor('a'), entryFor('b')];
  containment.lost(0, undefined, [a, b], 0);
  containment.started(a);
  assert.equal(containment.cameBack(a), true);
  assert.deepEqual([...containment.quarantined], [b.lane]);
  assert.equal(containment.mayStart(a.lane, 0), true);
  assert.equal(containment.mayStart(b.lane, 0), true);
  assert.equal(containment.cameBack(a), false, 'it was cleared before');
});

test('the order on the stack is blamed, and the others of its thread are not suspected', () => {
  const containment = lostOnce();
  const [a, b] = [entryFor('a'), entryFor('b')];
  assert.equal(containment.lost(0, a, [a, b], 0), a);
  assert.deepEqual([...containment.quarantined], [a.lane]);
});

test('with nobody on the stack, a suspect is blamed only when it was alone on its thread', () => {
  const containment = lostOnce();
  const [a, b, c] = [entryFor('a'), entryFor('b'), entryFor('c')];
  containment.lost(0, undefined, [a, b], 0);
  containment.started(a);
  assert.equal(containment.lost(0, undefined, [a, c], 0), undefined);
  assert.deepEqual([...containment.quarantined], [a.lane, b.lane, c.lane]);
  containment.started(a);
  assert.equal(containment.lost(0, undefined, [a], 0), a);
  assert.equal(containment.mayStart(b.lane, 0), true, 'the shard is free for the next suspect');
});

test('a lane that was blamed is held for a second, then two, and no longer than a minute', () => {
  const containment = lostOnce();
  const a = entryFor('a');
  let now = 5000;
  for (const heldMs of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
    containment.lost(0, a, [a], now);
    assert.equal(containment.mayStart(a.lane, now + heldMs - 1), false, `held for ${heldMs} ms`);
    assert.equal(containment.mayStart(a.lane, now + heldMs), true, `held for ${heldMs} ms`);
    now += heldMs;
  }
  const next = nextOf(a);
  containment.started(next);
  containment.cameBack(next);
  containment.lost(0, a, [a], now);
  assert.equal(containment.mayStart(a.lane, now + 1000), true, 'strikes before a good answer do not count');
});

test('a lane that is forgotten is no suspect', () => {
  const containment = lostOnce();
  const a = entryFor('a');
  containment.lost(0, undefined, [a], 0);
  containment.forget(a.lane);
  assert.equal(containment.quarantined.size, 0);
});
