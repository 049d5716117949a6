import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PART } from '../../src/dispatcher/round.ts';
import type { Merchant } from '../../src/order.ts';
import type { LaneQuery } from '../../src/readings.ts';
import { Rig } from './neighbours.ts';

const MANY = 3 * PART;
const name = (n: number): string => `m${n}-`;

/** So many merchants that no sweep and no scrape looks at all of their lanes, each with an order delivered. */
function crowd(...more: Partial<Merchant>[]): Rig {
  const rig = new Rig({}, ...more, ...Array.from({ length: MANY }, (_, n) => ({ id: name(n) })));
  for (let n = 0; n < MANY; n++) {
    rig.receiveAll(`${name(n)}1`);
    rig.end(`${name(n)}1`);
  }
  return rig;
}

test('a sweep looks at a part of the lanes, and ticks at the rest', () => {
  const rig = crowd();
  rig.clock.pass(60_000);
  const left = (): number => rig.dispatcher.snapshot().merchants;
  rig.dispatcher.sweep();
  assert.equal(left(), MANY - PART);
  rig.dispatcher.tick();
  assert.equal(left(), MANY - 2 * PART);
  rig.dispatcher.tick();
  assert.equal(left(), 0);
});

test('orders expire in whatever part of a round their lane is', () => {
  const rig = crowd({ id: 'first', paused: true });
  rig.have({ id: 'last', paused: true });
  for (const merchantId of ['first', 'last']) {
    rig.receive({ identity: merchantId, merchantId, deadlineAt: rig.clock.now() + 1000 });
  }
  rig.clock.pass(1000);
  rig.settled();
  rig.dispatcher.sweep();
  for (let n = 0; n < MANY / PART; n++) rig.dispatcher.tick();
  assert.deepEqual(rig.settled().toSorted(), ['first dead expired', 'last dead expired']);
  assert.equal(rig.dispatcher.snapshot().waiting, 0);
});

test('the worst of many lanes are known after a round, and one whose call hangs at once', async () => {
  const rig = crowd({ id: 'p', paused: true }, { id: 'hangs' });
  const shown = (): string[] => rig.dispatcher.snapshot().slowest.map(({ merchant }) => merchant);
  rig.receiveAll('p1 hangs1');
  rig.clock.pass(1000);
  assert.deepEqual(shown(), ['hangs']);
  rig.dispatcher.sweep();
  for (let n = 0; n < MANY / PART; n++) rig.dispatcher.tick();
  assert.deepEqual(shown().toSorted(), ['hangs', 'p']);
  const page = await rig.dispatcher.lanes({ offset: 0, limit: 10 });
  assert.deepEqual([page.total, page.lanes.map(({ merchant }) => merchant).toSorted()], [2, ['hangs', 'p']]);
});

test('a page of many lanes is ranked by what is asked for, and filtered by a part of the name, wherever the lane is', async () => {
  const rig = crowd();
  for (const [id, count] of [
    ['one-', 1],
    ['three-', 3],
    ['two-', 2],
  ] as const) {
    rig.have({ id, paused: true });
    for (let n = 0; n < count; n++) rig.receiveAll(`${id}${n}`);
  }
  rig.receiveAll(`${name(5)}2`);
  const page = async (query: Partial<LaneQuery>): Promise<string> => {
    const { total, lanes } = await rig.dispatcher.lanes({ offset: 0, limit: 2, ...query });
    return `${total}: ${lanes.map(({ merchant }) => merchant).join(' ')}`;
  };
  assert.equal(await page({ sort: 'waiting' }), '4: three- two-');
  assert.equal(await page({ sort: 'waiting', offset: 2, limit: 1 }), '4: one-');
  assert.equal(await page({ sort: 'in-flight', limit: 1 }), `4: ${name(5)}`);
  assert.equal(await page({ sort: 'waiting', contains: 'o' }), '2: two- one-');
  assert.equal(await page({ merchant: 'one-' }), '1: one-');
});

test('a changed directory reaches all of many lanes within some ticks, and an operator’s pause its lane at once', () => {
  const rig = crowd();
  const last = name(MANY - 1);
  for (const id of [name(0), last]) {
    rig.have({ id, concurrency: 1 });
    rig.dispatcher.directoryChanged(id);
  }
  rig.handed();
  rig.receiveAll(`${name(0)}2 ${name(0)}3 ${last}2 ${last}3`);
  assert.equal(rig.handed(), `${name(0)}2 ${last}2`);
  for (const id of [name(0), last]) rig.have({ id, concurrency: 2 });
  rig.dispatcher.directoryChanged();
  assert.equal(rig.handed(), `${name(0)}3`);
  for (let n = 0; n < MANY / PART; n++) rig.dispatcher.tick();
  assert.equal(rig.handed(), `${last}3`);
});

test('when a channel is lost, what waits is let go, whether its lane is in line or held', () => {
  const rig = crowd({ id: 'held', paused: true }, { id: 'full', concurrency: 1 });
  rig.receiveAll('held1 full1 full2');
  rig.dispatcher.shardReady(0); // `full` is in line again
  assert.equal(rig.dispatcher.snapshot().waiting, 2);
  rig.source.lose(rig.dispatcher);
  assert.equal(rig.dispatcher.snapshot().waiting, 0);
  rig.end('full1');
  rig.assertAtRest();
});

test('a drain releases what waits, whether its lane is in line or held', () => {
  const rig = new Rig({ concurrency: 1 }, { duplicates: 'never' }, { id: 'held', paused: true, duplicates: 'never' });
  rig.receiveAll('pizza1 pizza2 held1');
  rig.settled();
  rig.dispatcher.drain();
  assert.deepEqual(rig.settled().toSorted(), ['held1 defer', 'pizza2 defer']);
  assert.equal(rig.dispatcher.snapshot().waiting, 0);
});

test('a merchant that is back in the directory gets its orders before all lanes have been told', () => {
  const rig = crowd({ id: 'z' });
  rig.receiveAll('z1');
  rig.end('z1');
  rig.merchants.delete('z');
  rig.dispatcher.directoryChanged('z');
  rig.have({ id: 'z' });
  rig.dispatcher.directoryChanged();
  rig.receiveAll('z2');
  assert.equal(rig.isInFlight('z2'), true);
});
