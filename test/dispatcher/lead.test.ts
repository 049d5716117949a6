import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lead } from '../../src/dispatcher/lead.ts';
import { SlotTable } from '../../src/slot-table.ts';

/** Hands over as much as there is room for; returns how much that was. */
function fill(lead: Lead): number {
  let count = 0;
  for (; lead.hasRoom(); count++) lead.handed();
  return count;
}

test('there is room for what the thread begins in 50 ms, as seen while it has more than it comes to', () => {
  const table = new SlotTable(1000);
  const lead = new Lead(table);
  lead.look(0, 0);
  assert.equal(fill(lead), 64);
  table.begin(64);
  assert.equal(fill(lead), 64);
  table.begin(64);
  lead.look(100, 0); // 128 in 100 ms
  assert.equal(fill(lead), 64);
  table.begin(64);
  fill(lead);
  table.begin(64);
  fill(lead);
  table.begin(64);
  lead.look(200, 0); // 192
  assert.equal(fill(lead), 96);
});

test('what the main thread was away for does not count as the thread’s time', () => {
  const table = new SlotTable(1000);
  const lead = new Lead(table);
  lead.look(0, 0);
  fill(lead);
  table.begin(64);
  lead.look(1000, 900);
  assert.equal(fill(lead), 32);
});

test('a thread that begins nothing is handed half as much with each look, and eight at least', () => {
  const table = new SlotTable(1000);
  const lead = new Lead(table);
  const rooms: number[] = [];
  for (let at = 0; at < 600; at += 100) {
    rooms.push(fill(lead));
    lead.look(at, 0);
    lead.reset();
  }
  assert.deepEqual(rooms, [64, 32, 16, 8, 8, 8]);
});

test('no more than half of the slots, and an order always', () => {
  assert.equal(fill(new Lead(new SlotTable(10))), 5);
  assert.equal(fill(new Lead(new SlotTable(1))), 1);
});

test('whoever finds no room is waited for', () => {
  const table = new SlotTable(2);
  const lead = new Lead(table);
  assert.equal(table.begin(0), false);
  fill(lead);
  assert.equal(table.begin(1), true);
  assert.equal(lead.hasRoom(), true);
});
