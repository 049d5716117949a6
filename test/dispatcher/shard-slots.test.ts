import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Entry, entryOf, keyOf } from '../../src/dispatcher/ledger.ts';
import { ShardSlots } from '../../src/dispatcher/shard-slots.ts';
import { Lane } from '../../src/lane/lane.ts';
import { outcomeCode, SENDING } from '../../src/protocol.ts';
import { delivery, merchant } from '../helpers/deliveries.ts';

const lane = new Lane<Entry>(merchant(), 0);

function entry(identity: string): Entry {
  const of = delivery({ identity });
  return entryOf(of, lane, keyOf(of), false, 0);
}

test('a message that speaks of a slot’s earlier order closes nothing', () => {
  const slots = new ShardSlots(1);
  const slot = slots.open(entry('a')) as number;
  const before = slots.generation(slot);
  assert.equal(slots.close(slot, before)?.key, 'a');
  assert.equal(slots.close(slot, before), undefined);
  assert.equal(slots.open(entry('b')), slot);
  assert.equal(slots.close(slot, before), undefined);
  assert.equal(slots.used, 1);
  assert.equal(slots.close(slot, slots.generation(slot))?.key, 'b');
  assert.equal(slots.used, 0);
});

test('there are as many slots as were asked for', () => {
  const slots = new ShardSlots(2);
  slots.open(entry('a'));
  slots.open(entry('b'));
  assert.equal(slots.open(entry('c')), undefined);
  assert.equal(slots.used, 2);
});

test('when the thread is gone, each order is what the table says, in the order of handing out', () => {
  const slots = new ShardSlots(8);
  const first = slots.open(entry('first')) as number;
  slots.close(first, slots.generation(first)); // its slot is free again, and the next one gets it
  const [handed1, sending1, ended, sending2, handed2] = ['h1', 's1', 'e', 's2', 'h2'].map(
    (identity) => slots.open(entry(identity)) as number,
  ) as [number, number, number, number, number];
  for (const slot of [sending2, sending1]) slots.table.mark(slot, slots.generation(slot), SENDING);
  slots.table.mark(ended, slots.generation(ended), outcomeCode({ kind: 'rejected', reason: 'no' }));
  slots.table.running(sending2, slots.generation(sending2));
  const judged = slots.judge('it is gone');
  assert.deepEqual(
    judged.handed.map(({ key }) => key),
    ['h1', 'h2'],
  );
  assert.deepEqual(
    judged.sending.map(({ key }) => key),
    ['s1', 's2'],
  );
  assert.deepEqual(
    judged.ended.map(([{ key }, { kind }]) => [key, kind]),
    [['e', 'rejected']],
  );
  assert.equal(judged.onStack?.key, 's2');
  assert.equal(slots.used, 0);
  assert.deepEqual(
    [handed1, handed2].map((slot) => slots.close(slot, slots.generation(slot))),
    [undefined, undefined],
  );
  assert.equal(slots.judge('again').onStack, undefined);
});
