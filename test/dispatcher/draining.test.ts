import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rig } from './neighbours.ts';

const REFUSED = { kind: 'not-sent', reason: 'refused' } as const;

test('a drain starts nothing more and finishes what is in flight', () => {
  const rig = new Rig({ concurrency: 2 }, { id: 'a' }, { id: 'b' });
  rig.receiveAll('a1 b1 a2');
  rig.dispatcher.drain();
  rig.dispatcher.drain(); // twice is once
  assert.equal(rig.handed(), 'a1 b1');
  rig.end('a1 b1');
  rig.dispatcher.tick();
  rig.threadIsBack();
  rig.receiveAll('b2');
  assert.equal(rig.handed(), '');
  assert.equal(rig.dispatcher.busy, 0);
  assert.deepEqual(rig.settled(), ['a1 ack', 'b1 ack']);
  assert.equal(rig.dispatcher.snapshot().waiting, 2, 'they go back to the broker with the connection');
});

test('what is not started because of a drain is laid to nothing else', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'p', paused: true });
  rig.receiveAll('a1 p1');
  rig.dispatcher.drain();
  for (let i = 0; i < 60; i++) {
    rig.clock.pass(100);
    rig.dispatcher.tick();
  }
  assert.deepEqual(rig.warnings, []);
  assert.equal(rig.dispatcher.snapshot().pressure, undefined);
});

test('what waits for a merchant that must not get duplicates is deferred, because a redelivery might have been sent', () => {
  const rig = new Rig(
    { concurrency: 1 },
    { id: 'i' },
    { id: 'c', duplicates: 'confirm' },
    { id: 'n', duplicates: 'never' },
  );
  rig.receiveAll('i1 i2 c1 n1 n2');
  rig.dispatcher.drain();
  assert.deepEqual(rig.settled(), ['c1 defer', 'n1 defer', 'n2 defer']);
  rig.receiveAll('n3 c2 i3');
  assert.deepEqual(rig.settled(), ['n3 defer', 'c2 defer']);
  assert.equal(rig.dispatcher.busy, 6, 'one in flight, and five whose deferral is not durable');
  rig.source.confirm(rig.dispatcher);
  rig.end('i1');
  assert.equal(rig.dispatcher.busy, 0);
  assert.equal(rig.dispatcher.snapshot().waiting, 2);
});

test('what a thread lost during a drain had not sent is deferred as well', () => {
  const rig = new Rig({}, { id: 'i' }, { id: 'n', duplicates: 'never' });
  rig.receiveAll('i1 n1');
  rig.dispatcher.drain();
  rig.loseThread({ handed: 'i1 n1' });
  assert.deepEqual(rig.settled(), ['n1 defer']);
  rig.source.confirm(rig.dispatcher);
  assert.equal(rig.dispatcher.busy, 0);
});

test('nothing is empty while an order is in hand, its end is not durable, or it is on the ladder', () => {
  const rig = new Rig();
  assert.equal(rig.dispatcher.isEmpty, true);
  rig.receive({ identity: 'a1' });
  assert.equal(rig.dispatcher.isEmpty, false, 'in flight');
  rig.end('a1', REFUSED);
  assert.equal(rig.dispatcher.isEmpty, false, 'being settled');
  rig.source.confirm(rig.dispatcher);
  assert.equal(rig.dispatcher.isEmpty, false, 'on the ladder');
  rig.receive({ identity: 'a1', hop: 1, attempt: 2, ours: true });
  assert.equal(rig.dispatcher.isEmpty, false, 'in flight again');
  rig.end('a1');
  assert.equal(rig.dispatcher.isEmpty, true);
});

test('what others put on the ladder is not counted as ours', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1' });
  rig.end('a1', REFUSED);
  rig.source.confirm(rig.dispatcher);
  rig.receive({ identity: 'a2', hop: 1, ours: false });
  rig.end('a2');
  assert.equal(rig.dispatcher.isEmpty, false, 'a1 is still there');
});

test('an order that came back from the ladder is counted once, however often the broker gives it out', () => {
  const rig = new Rig({ concurrency: 1 }, { id: 'a' }, { id: 'b' }, { id: 'c' });
  rig.receiveAll('a1');
  rig.end('a1', REFUSED);
  rig.receiveAll('c1');
  rig.end('c1', REFUSED);
  rig.source.confirm(rig.dispatcher);
  rig.receiveAll('b1');
  const back = rig.receive({ identity: 'a1', merchantId: 'a', hop: 1, ours: true });
  rig.source.lose(rig.dispatcher); // while it waits behind b1, which was sent
  rig.end('b1');
  rig.again(back);
  rig.end('a1');
  assert.equal(rig.dispatcher.snapshot().onLadder, 1);
  assert.equal(rig.dispatcher.isEmpty, false, 'c1 is on the ladder');
});

test('a retry that came back before its own confirm, which was lost, does not stay on the ladder for ever', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1' });
  rig.end('a1', REFUSED); // stored, but the confirm is lost with the connection: it will be published again
  const back = rig.receive({ identity: 'a1', hop: 1, attempt: 2, ours: true });
  rig.end('a1');
  rig.source.confirm(rig.dispatcher);
  rig.receive({ ...back, redelivered: false }); // the second one
  assert.deepEqual(rig.settled(), ['a1 retry 2', 'a1 ack', 'a1 ack']);
  assert.equal(rig.dispatcher.isEmpty, true);
});

test('a retry that was settled on a redelivery is on the ladder like any other', () => {
  const rig = new Rig();
  const given = rig.receive({ identity: 'a1' });
  rig.source.lose(rig.dispatcher);
  rig.end('a1', REFUSED); // its channel is gone
  rig.again(given);
  assert.deepEqual(rig.settled(), ['a1 retry 2']);
  assert.equal(rig.dispatcher.busy, 1, 'its end is not durable');
  rig.source.confirm(rig.dispatcher);
  assert.equal(rig.dispatcher.isEmpty, false, 'it is on the ladder');
});

test('an order of ours that another process takes off the ladder does not keep this one from being empty for ever', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1' });
  rig.end('a1', REFUSED);
  rig.source.confirm(rig.dispatcher);
  rig.clock.pass(600_000); // its deadline: it cannot come back later
  rig.dispatcher.sweep();
  assert.equal(rig.dispatcher.snapshot().onLadder, 0);
  assert.equal(rig.dispatcher.isEmpty, true);
});
