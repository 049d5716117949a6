import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rig } from './neighbours.ts';

/** Retries are instant here: what went to the ladder comes back as its next copy. */
function returnFromLadder(rig: Rig): void {
  rig.source.confirm(rig.dispatcher);
  const fresh = rig.source.settled.slice(seen.get(rig) ?? 0);
  seen.set(rig, rig.source.settled.length);
  for (const { delivery, settlement } of fresh) {
    if (settlement.kind !== 'retry') continue;
    const { attempt, crashes, confirmFirst } = settlement;
    rig.receive({
      ...delivery,
      epoch: rig.source.epoch,
      hop: delivery.hop + 1,
      attempt,
      crashes,
      confirmFirst,
      ours: true,
      redelivered: false,
    });
  }
}
const seen = new WeakMap<Rig, number>();

function pass(rig: Rig, ms: number): void {
  rig.clock.pass(ms);
  rig.dispatcher.tick();
}

test('what a lost thread was handed and had not sent runs again, first and in order; what it was sending is ambiguous', () => {
  const rig = new Rig({}, { id: 'a', concurrency: 4 }, { id: 'n', duplicates: 'never' });
  rig.receiveAll('a1 a2 a3 a4 a5 n1 n2');
  rig.handed();
  rig.loseThread({ handed: 'a2 a3 n2', onStack: 'a1' });
  assert.deepEqual(rig.settled(), ['a1 retry 2', 'a4 retry 2', 'n1 park']);
  assert.equal(rig.handed(), '');
  rig.threadIsBack();
  pass(rig, 1000);
  // a's lane caused it: its orders run one at a time. n's did not.
  assert.equal(rig.handed(), 'n2 a2');
  rig.end('a2');
  assert.equal(rig.handed(), 'a3 a5');
  rig.end('a3 a5 n2');
  rig.source.confirm(rig.dispatcher);
  rig.assertAtRest();
});

test('the other shards are not touched', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.shards.places.set('b', 1);
  rig.receiveAll('a1 b1');
  rig.handed();
  rig.loseThread();
  rig.receiveAll('b2');
  assert.equal(rig.handed(), 'b2');
  assert.deepEqual(rig.settled(), ['a1 retry 2']);
  rig.end('b1 b2');
});

test('an order that threads are lost to is counted, and dead-lettered at --max-crashes while the others are delivered', () => {
  const rig = new Rig({ maxCrashes: 3 }, { id: 'poison' }, { id: 'b' });
  rig.receiveAll('poison1 b1');
  const delivered = new Set<string>();
  for (let crash = 1; crash <= 3; crash++) {
    rig.loseThread({ onStack: 'poison1' });
    const settlement = rig.source.settled.find(({ delivery, settlement: { kind } }) => {
      return delivery.identity === 'poison1' && delivery.attempt === crash && kind !== 'ack';
    })?.settlement;
    if (crash < 3) assert.equal(settlement?.kind === 'retry' && settlement.crashes, crash);
    else assert.deepEqual(settlement?.kind === 'dead-letter' && settlement.reason, 'thread-crash');
    rig.threadIsBack();
    returnFromLadder(rig);
    pass(rig, 60_000);
    for (const { delivery } of Array.from(rig.shards.inFlight)) {
      if (delivery.identity === 'poison1') continue;
      rig.end(delivery.identity);
      delivered.add(delivery.identity);
    }
  }
  assert.deepEqual([...delivered], ['b1']);
  rig.assertAtRest();
});

test('when nothing names the cause, it is found among the suspects, and no innocent order is dead-lettered for it', () => {
  const rig = new Rig({ maxCrashes: 3, maxAttempts: 50 }, { id: 'a' }, { id: 'b' }, { id: 'poison' }, { id: 'c' });
  rig.receiveAll('a1 b1 poison1 c1');
  for (let crash = 0; crash < 20 && rig.shards.inFlight.size > 0; crash++) {
    const running = [...rig.shards.inFlight].map(({ delivery }) => delivery.identity);
    if (crash > 1) assert.equal(running.length, 1, `suspects run one at a time, not ${running.join(', ')}`);
    // The thread dies under the poison order, without a stack to show; everybody else is delivered.
    if (running.includes('poison1')) {
      rig.loseThread();
      rig.threadIsBack();
    } else for (const name of running) rig.end(name);
    returnFromLadder(rig);
    pass(rig, 60_000);
  }
  const ends = rig.settled().filter((line) => !line.includes('retry'));
  assert.deepEqual(ends.toSorted(), ['a1 ack', 'b1 ack', 'c1 ack', 'poison1 dead thread-crash']);
  rig.assertAtRest();
});

test('an innocent order that runs beside the cause, and is slow, is not dead-lettered in its place', () => {
  const rig = new Rig({}, { id: 'slow' }, { id: 'p' });
  rig.receiveAll('p2 slow1 p1');
  // p1 kills its thread, without a stack to show, whenever it runs; p2, of the same merchant, is quick and harmless.
  rig.loseThread();
  for (let round = 0; round < 20; round++) {
    rig.threadIsBack();
    returnFromLadder(rig);
    pass(rig, 60_000);
    const running = [...rig.shards.inFlight].map(({ delivery }) => delivery.identity);
    if (running.includes('p2')) rig.end('p2');
    else if (running.includes('p1')) rig.loseThread();
    else if (running.includes('slow1')) rig.end('slow1');
  }
  const ends = rig.settled().filter((line) => !line.includes('retry'));
  assert.ok(ends.includes('p2 ack') && ends.includes('slow1 ack'), ends.join(', '));
  assert.equal(ends.length, 3, 'the cause was not found');
});

test('an order on the stack when its thread is lost counts a crash, even if nothing of it was sent', () => {
  const rig = new Rig({ maxCrashes: 3 });
  rig.receive({ identity: 'a1' });
  for (let crash = 0; crash < 3; crash++) {
    rig.loseThread({ handed: 'a1', onStack: 'a1' });
    rig.threadIsBack();
    returnFromLadder(rig);
    pass(rig, 60_000);
  }
  assert.deepEqual(rig.settled().at(-1), 'a1 dead thread-crash');
});

test('a lane that is held starts again when its time has come, by the clock', () => {
  const rig = new Rig({}, { id: 'a', concurrency: 1 });
  rig.receiveAll('a1 a2');
  rig.handed();
  rig.loseThread({ onStack: 'a1' });
  rig.threadIsBack();
  pass(rig, 999);
  assert.equal(rig.handed(), '');
  pass(rig, 1);
  assert.equal(rig.handed(), 'a2');
});

test('an order whose attempt was ambiguous because its thread was lost says why', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1' });
  rig.loseThread({ why: 'its event loop stood still for 5000 ms' });
  const settlement = rig.lastSettlement();
  assert.equal(settlement?.kind === 'retry' && settlement.reason, 'its event loop stood still for 5000 ms');
});

test('a held lane is let go only when none of its orders can be on the ladder any more', () => {
  const rig = new Rig({}, { id: 'a' });
  rig.receiveAll('a1');
  rig.loseThread({ onStack: 'a1' });
  rig.source.confirm(rig.dispatcher);
  rig.clock.pass(600_999);
  rig.dispatcher.sweep();
  assert.deepEqual(rig.shards.forgotten, []);
  rig.clock.pass(1);
  rig.dispatcher.sweep();
  assert.deepEqual(rig.shards.forgotten, ['a']);
});
