import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NONE, SlotTable } from '../src/slot-table.ts';

test('a thread sees what the main thread handed it, and the main thread what the thread wrote', () => {
  const main = new SlotTable(4);
  const thread = new SlotTable(4, main.buffer);
  const generation = main.open(2, 1);
  assert.equal(thread.state(2), 1);
  assert.equal(thread.mark(2, generation, 7), true);
  assert.equal(main.state(2), 7);
  assert.deepEqual(
    [0, 1, 3].map((slot) => main.state(slot)),
    [0, 0, 0],
    'a neighbour was touched',
  );
});

test('a late write cannot touch a slot that was used again', () => {
  const table = new SlotTable(1);
  const first = table.open(0, 1);
  const second = table.open(0, 1);
  assert.notEqual(first, second);
  assert.equal(table.mark(0, first, 9), false);
  assert.equal(table.state(0), 1);
  assert.equal(table.mark(0, second, 9), true);
});

test('a slot outlives the last generation that its word can hold', () => {
  const table = new SlotTable(1);
  let before = 0;
  for (let life = 0; life < 2 ** 23 + 2; life++) {
    const generation = table.open(0, 255);
    if (generation !== before + 1) {
      assert.equal(before, 2 ** 23 - 1);
      assert.equal(generation, 0);
      assert.equal(table.mark(0, before, 1), false);
      assert.equal(table.mark(0, generation, 1), true);
      assert.equal(table.state(0), 1);
    }
    before = generation;
  }
  assert.equal(before, 2);
});

test('whatever is opened and marked, each slot holds the last state of its last life', () => {
  const slot = fc.nat({ max: 3 });
  const state = fc.nat({ max: 255 });
  const command = fc.record({ slot, state, open: fc.boolean(), back: fc.nat({ max: 2 }) });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const table = new SlotTable(4);
      const model = Array.from({ length: 4 }, () => ({ generation: 0, state: 0 }));
      for (const { slot, state, open, back } of commands) {
        const expected = model[slot] as (typeof model)[number];
        if (open) {
          expected.generation++;
          expected.state = state;
          assert.equal(table.open(slot, state), expected.generation);
        } else {
          assert.equal(table.mark(slot, expected.generation - back, state), back === 0);
          if (back === 0) expected.state = state;
        }
        assert.deepEqual(
          model.map((_, each) => table.state(each)),
          model.map((each) => each.state),
        );
      }
    }),
  );
});

test('the heartbeat counts, and nobody is running until somebody is', () => {
  const table = new SlotTable(2);
  assert.equal(table.heartbeat(), 0);
  table.beat();
  table.beat();
  assert.equal(table.heartbeat(), 2);
  assert.equal(table.lastRunning(), NONE);
  for (const slot of [0, 1, NONE]) {
    table.running(slot, 0);
    assert.equal(table.lastRunning(), slot);
    assert.deepEqual([table.state(0), table.state(1), table.heartbeat()], [0, 0, 2]);
  }
});

test('a stray callback of an order that is over does not name the next one in its slot', () => {
  const table = new SlotTable(1);
  const first = table.open(0, 1);
  const second = table.open(0, 1);
  table.running(0, first);
  assert.equal(table.lastRunning(), NONE);
  table.running(0, second);
  assert.equal(table.lastRunning(), 0);
});

test('the main thread knows how many orders were begun, and is told once of more when it waits for that', () => {
  const main = new SlotTable(2);
  const thread = new SlotTable(2, main.buffer);
  assert.equal(thread.begin(3), false);
  assert.equal(main.begun(), 3);
  main.awaitBegun();
  assert.deepEqual([thread.begin(2), thread.begin(1)], [true, false]);
  assert.equal(main.begun(), 6);
  assert.deepEqual([main.state(0), main.state(1)], [0, 0]);
});
