import assert from 'node:assert/strict';
import { test } from 'node:test';
import { START, WALL } from '../helpers/deliveries.ts';
import { Rig } from './neighbours.ts';

test('an order is handed to its shard, and acknowledged when it was delivered', () => {
  const rig = new Rig();
  const given = rig.receive({ identity: 'a1' });
  assert.equal(rig.handed(), 'a1');
  assert.deepEqual(rig.settled(), []);
  assert.equal(rig.dispatcher.busy, 1);
  rig.end('a1');
  assert.deepEqual(rig.source.settled, [{ delivery: given, settlement: { kind: 'ack' } }]);
  rig.assertAtRest();
});

test('orders of one merchant start in the order in which they came', () => {
  const rig = new Rig({ concurrency: 1 }, { id: 'a' });
  rig.receiveAll('a1 a2 a3 a4');
  for (const name of ['a1', 'a2', 'a3', 'a4']) {
    assert.equal(rig.handed(), name);
    rig.end(name);
  }
  rig.assertAtRest();
});

test('a merchant has no more orders in flight than it may, whatever the process has room for', () => {
  const rig = new Rig({}, { id: 'a', concurrency: 2 }, { id: 'b' });
  rig.receiveAll('a1 a2 a3 a4 b1');
  assert.equal(rig.handed(), 'a1 a2 b1');
  rig.end('a1');
  assert.equal(rig.handed(), 'a3');
  rig.end('a2 a3');
  assert.equal(rig.handed(), 'a4');
});

test('a process has no more orders in flight than it may, whatever the merchants have room for', () => {
  const rig = new Rig({ concurrency: 3 }, { id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd' });
  rig.receiveAll('a1 b1 c1 d1 a2');
  assert.equal(rig.handed(), 'a1 b1 c1');
  const { inFlight, waiting } = rig.dispatcher.snapshot();
  assert.deepEqual([inFlight, waiting], [3, 2]);
  rig.end('a1 b1');
  assert.equal(rig.handed(), 'd1 a2');
});

test('more deliveries are wanted when nothing in hand may start, and not while the budget is full', () => {
  const rig = new Rig({ concurrency: 2 }, { id: 'a', concurrency: 1 }, { id: 'b' });
  rig.receiveAll('a1');
  rig.receiveAll('a2');
  const wanted = rig.source.wanted;
  assert.ok(wanted > 0, 'a2 waits for a1, and there is room for another merchant');
  rig.receiveAll('b1');
  rig.receiveAll('b2 b3');
  assert.equal(rig.source.wanted, wanted);
  rig.end('a1 b1');
  assert.equal(rig.handed(), 'a1 b1 a2 b2');
  assert.equal(rig.source.wanted, wanted, 'the budget is full again');
});

test('merchants that compete for the process take turns by weight, however many orders each has waiting', () => {
  const rig = new Rig({ concurrency: 1 }, { id: 'a', weight: 1 }, { id: 'b', weight: 2 }, { id: 'c', weight: 1 });
  rig.receiveAll('a1 a2 a3 a4 a5 a6 b1 b2 b3 b4 c1 c2');
  const started: string[] = [];
  for (let name = rig.handed(); name !== ''; name = rig.handed()) {
    started.push(name);
    rig.end(name);
  }
  assert.equal(started.join(' '), 'a1 b1 b2 c1 a2 b3 b4 c2 a3 a4 a5 a6');
});

test('a shard that is not ready is handed nothing, and all that waited when it is', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.shards.places.set('b', 1);
  rig.shards.down.add(0);
  rig.receiveAll('a1 b1 a2');
  assert.equal(rig.handed(), 'b1');
  rig.threadIsBack(0);
  assert.equal(rig.handed(), 'a1 a2');
});

test('the last tenth of the budget is asked for where nothing waits, and not while something does', () => {
  const rig = new Rig({ concurrency: 10 }, ...'abcdefghi'.split('').map((id) => ({ id, concurrency: 1 })));
  rig.receiveAll('a1 b1 c1 d1 e1 f1 g1 h1');
  const { wanted } = rig.source;
  rig.receiveAll('i1');
  assert.equal(rig.source.wanted, wanted + 1, 'nine of ten are in flight, and nothing waits');
  rig.receiveAll('i2');
  assert.equal(rig.source.wanted, wanted + 1, 'i2 waits for i1');
});

test('what a thread is behind with waits in its lanes, and others go on; more is wanted as long as one of them is not', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.shards.places.set('b', 1);
  rig.shards.behind.add(1);
  rig.receiveAll('a1 b1 a2 b2');
  assert.equal(rig.handed(), 'a1 a2');
  assert.equal(rig.dispatcher.snapshot().slowest.find(({ merchant }) => merchant === 'b')?.gate, 'shard');
  const { wanted } = rig.source;
  rig.dispatcher.turn();
  assert.equal(rig.source.wanted, wanted + 1);
  rig.shards.behind.add(0);
  rig.dispatcher.turn();
  assert.equal(rig.source.wanted, wanted + 1);
  rig.shards.behind.clear();
  rig.dispatcher.turn();
  assert.equal(rig.handed(), 'b1 b2');
});

test('that orders wait for nothing but a thread is said, and so is what would help', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'p', paused: true });
  rig.shards.behind.add(0);
  rig.receiveAll('a1 a2 p1');
  for (let i = 0; i < 60; i++) {
    rig.clock.pass(100);
    rig.dispatcher.tick();
  }
  assert.match(rig.dispatcher.snapshot().pressure ?? '', /2 orders wait because threads .* more --shards/);
  assert.equal(rig.warnings.length, 1);
});

test('an order whose deadline has passed is never handed out, and the next one starts in its place', () => {
  const rig = new Rig({ concurrency: 1 }, { id: 'a' }, { id: 'b' });
  rig.receiveAll('a1');
  rig.receiveAll('a2 b1', { deadlineAt: START + 1000 });
  rig.receiveAll('a3 b2', { deadlineAt: START + 1001 });
  assert.equal(rig.handed(), 'a1');
  rig.clock.pass(1000);
  rig.end('a1');
  assert.deepEqual(rig.settled(), ['a1 ack', 'b1 dead expired', 'a2 dead expired']);
  assert.equal(rig.handed(), 'b2');
  rig.end('b2');
  assert.equal(rig.handed(), 'a3');
});

test('what cannot be read, or is for nobody that the directory knows, is dead-lettered with the reason', () => {
  const rig = new Rig({}, { id: 'a' });
  rig.receive({ identity: 'm1', malformed: 'the body is not JSON' });
  rig.receive({ identity: 'm2', merchantId: 'nobody' });
  assert.deepEqual(
    rig.source.settled.map(({ settlement }) => settlement),
    [
      { kind: 'dead-letter', reason: 'malformed', detail: 'the body is not JSON' },
      { kind: 'dead-letter', reason: 'malformed', detail: "unknown merchant 'nobody'" },
    ],
  );
  assert.equal(rig.handed(), '');
  rig.source.confirm(rig.dispatcher);
  rig.assertAtRest();
  assert.equal(rig.dispatcher.snapshot().deadLettered.malformed, 2);
});

test('every outcome settles its order, which stays busy until that is durable', () => {
  for (const [outcome, settled] of [
    [{ kind: 'rejected', reason: '422', status: 422 }, 'a1 dead rejected'],
    [{ kind: 'malformed', reason: 'not JSON' }, 'a1 dead malformed'],
    [{ kind: 'not-sent', reason: 'refused' }, 'a1 retry 2'],
    [{ kind: 'ambiguous', reason: 'reset' }, 'a1 retry 2'],
    [{ kind: 'throttled', reason: '429', status: 429 }, 'a1 retry 2'],
    [{ kind: 'expired', reason: 'late' }, 'a1 dead expired'],
    [{ kind: 'failed', reason: 'TypeError' }, 'a1 retry 2'],
  ] as const) {
    const rig = new Rig({}, { id: 'a' });
    rig.receiveAll('a1');
    rig.end('a1', outcome);
    assert.deepEqual(rig.settled(), [settled]);
    assert.equal(rig.dispatcher.busy, 1, `${outcome.kind}: its end is not durable yet`);
    rig.source.confirm(rig.dispatcher);
    rig.assertAtRest();
  }
});

test('a settlement rests on the attempt, the deadline, the key window, the merchant and the dice of that moment', () => {
  const rig = new Rig(
    { maxAttempts: 3 },
    { id: 'a' },
    { id: 'n', duplicates: 'never' },
    { id: 'k', keyWindowMs: 60_000 },
    { id: 'c', duplicates: 'confirm' },
  );
  const ambiguous = { kind: 'ambiguous', reason: 'reset' } as const;
  rig.receiveAll('a1 a2 a3 n1 k1 c1');
  rig.receiveAll('a4', { attempt: 3 });
  rig.receiveAll('a5', { deadlineAt: START + 60_500 });
  rig.receiveAll('a6', { attempt: 2, confirmFirst: true });
  rig.clock.pass(60_000);
  rig.random = 0.999;
  for (const name of ['a1', 'n1', 'k1', 'c1', 'a4', 'a5', 'a6']) rig.end(name, ambiguous);
  rig.end('a2', { kind: 'throttled', reason: '503', retryAfterMs: 3000 });
  assert.deepEqual(rig.settled(), [
    'a1 retry 2',
    'n1 park',
    'k1 park',
    'c1 retry 2 confirm',
    'a4 dead max-attempts',
    'a5 dead ambiguous',
    'a6 retry 3 confirm',
    'a2 retry 2',
  ]);
  rig.have({ id: 't' });
  rig.receiveAll('t1');
  rig.end('t1', { kind: 'throttled', reason: '503', retryAfterMs: 515_000 });
  const settlement = rig.lastSettlement();
  assert.equal(settlement?.kind === 'retry' && settlement.notBefore, WALL + 60_000 + 515_000);
});

test('an order whose time has not come is deferred until then, and its attempt does not count', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1', hop: 1, attempt: 4, notBeforeAt: START + 3500 });
  assert.equal(rig.handed(), '');
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', delayMs: 4000 });
  rig.source.confirm(rig.dispatcher);
  rig.assertAtRest();
});

test('answers enter a merchant’s latency, time-outs and refused connections do not', () => {
  const rig = new Rig();
  const latency = (): number | undefined => rig.dispatcher.snapshot().slowest[0]?.latencyMs;
  rig.receive({ identity: 'a1' });
  rig.receive({ identity: 'a2' });
  rig.receive({ identity: 'a3' });
  rig.receive({ identity: 'a4' });
  rig.clock.pass(300);
  rig.end('a1', { kind: 'not-sent', reason: 'refused' });
  rig.end('a2', { kind: 'ambiguous', reason: 'timed out' });
  assert.equal(latency(), 0);
  rig.end('a3', { kind: 'rejected', reason: '422', status: 422 });
  assert.equal(latency(), 300);
});

test('the snapshot names the slowest merchants first', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' }, { id: 'c' });
  rig.receiveAll('b1');
  rig.clock.pass(500);
  rig.receiveAll('a1 a2 c1');
  rig.clock.pass(100);
  rig.end('c1');
  rig.receiveAll('c2');
  assert.deepEqual(
    rig.dispatcher.snapshot().slowest.map(({ merchant: id, oldestMs, inFlight }) => [id, oldestMs, inFlight]),
    [
      ['b', 600, 1],
      ['a', 100, 2],
      ['c', 0, 1],
    ],
  );
});

test('a changed directory counts at once, and a merchant that is gone keeps its entry for the orders in hand', () => {
  const rig = new Rig({}, { id: 'a', concurrency: 1 }, { id: 'b', concurrency: 1 });
  rig.receiveAll('a1 a2 a3 b1 b2');
  assert.equal(rig.handed(), 'a1 b1');
  rig.have({ id: 'a', concurrency: 3 });
  rig.merchants.delete('b');
  rig.dispatcher.directoryChanged();
  assert.equal(rig.handed(), 'a2 a3');
  rig.end('b1');
  assert.equal(rig.handed(), 'b2');
});

test('a lane that has had nothing to do for a minute is let go, and its shard told', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b', concurrency: 1 });
  rig.receiveAll('a1 b1 b2');
  rig.end('a1');
  rig.clock.pass(59_999);
  rig.dispatcher.sweep();
  assert.deepEqual(rig.shards.forgotten, []);
  rig.clock.pass(1);
  rig.dispatcher.sweep();
  assert.deepEqual(rig.shards.forgotten, ['a'], 'b has an order in flight and one waiting');
  assert.equal(rig.dispatcher.snapshot().merchants, 1);
  rig.receiveAll('a2');
  rig.end('a2 b1');
  rig.end('b2');
  rig.assertAtRest();
});

test('the snapshot counts what came, what became of it and what is under way', () => {
  const rig = new Rig({}, { id: 'a', concurrency: 4 }, { id: 'n', duplicates: 'never' });
  rig.receiveAll('a1 a2 a3 n1 n2 a4 a5 a6', { body: '{"id":1}' });
  rig.end('a1 n1');
  rig.end('a2', { kind: 'not-sent', reason: 'refused' });
  rig.end('a3', { kind: 'rejected', reason: '422' });
  rig.end('n2', { kind: 'ambiguous', reason: 'reset' });
  rig.receive({ identity: 'a9', hop: 1, merchantId: 'a', body: '{"id":1}', notBeforeAt: START + 500 });
  rig.source.confirm(rig.dispatcher, 3);
  const { outcomes, deadLettered, shards: _shards, slowest: _slowest, ...counts } = rig.dispatcher.snapshot();
  assert.deepEqual(counts, {
    received: 9,
    retried: 1,
    deferred: 1,
    parked: 1,
    joined: 0,
    inFlight: 3,
    overAge: 0,
    waiting: 0,
    unsettled: 4,
    unsettledBytes: 4 * 8,
    onLadder: 1,
    merchants: 2,
  });
  assert.deepEqual(
    [outcomes.delivered, outcomes['not-sent'], outcomes.rejected, outcomes.ambiguous, outcomes.deferred],
    [2, 1, 1, 1, 1],
  );
  assert.equal(deadLettered.rejected, 1);
});
