import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pauses } from '../../src/merchant/pauses.ts';
import type { Merchant } from '../../src/order.ts';
import { merchant } from '../helpers/deliveries.ts';

function over(...merchants: Merchant[]): { pauses: Pauses; listed: Map<string, Merchant> } {
  const listed = new Map(merchants.map((each) => [each.id, each]));
  return { pauses: new Pauses({ find: (id) => listed.get(id) }), listed };
}

test('a merchant that is paused by hand is found paused, and as before once it is resumed', () => {
  const a = merchant({ id: 'a' });
  const { pauses } = over(a, merchant({ id: 'b' }));
  assert.equal(pauses.pause('a'), true);
  assert.deepEqual(pauses.find('a'), { ...a, paused: true });
  assert.deepEqual(pauses.reading(), { count: 1, first: ['a'] });
  assert.equal(pauses.find('b')?.paused, false);
  assert.equal(pauses.resume('a'), 'resumed');
  assert.equal(pauses.find('a'), a);
  assert.equal(pauses.reading().count, 0);
});

test('a pause of the directory stays, whatever is done by hand, and the answer says so', () => {
  const { pauses } = over(merchant({ id: 'a', paused: true }));
  assert.equal(pauses.resume('a'), 'paused-by-directory');
  assert.equal(pauses.pause('a'), true);
  assert.equal(pauses.resume('a'), 'paused-by-directory');
  assert.equal(pauses.find('a')?.paused, true);
});

test('a merchant that is not there can neither be paused nor resumed', () => {
  const { pauses } = over();
  assert.equal(pauses.pause('a'), false);
  assert.equal(pauses.resume('a'), undefined);
  assert.equal(pauses.find('a'), undefined);
});

test('a pause outlives a directory that forgets the merchant and lists it again', () => {
  const { pauses, listed } = over(merchant({ id: 'a' }));
  pauses.pause('a');
  listed.delete('a');
  assert.equal(pauses.find('a'), undefined);
  listed.set('a', merchant({ id: 'a' }));
  assert.equal(pauses.find('a')?.paused, true);
});
