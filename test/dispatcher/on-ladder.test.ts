import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from '../../src/dispatcher/ledger.ts';
import { OnLadder } from '../../src/dispatcher/on-ladder.ts';
import { Lane } from '../../src/lane/lane.ts';
import { merchant } from '../helpers/deliveries.ts';

test('a lane’s orders are out until they come back, once each', () => {
  const lane = new Lane<Entry>(merchant(), 0);
  const ladder = new OnLadder();
  lane.out = 2;
  ladder.put('1:a', lane, 1_000, 0);
  ladder.put('1:b', lane, 1_000, 0);
  ladder.put('1:twin', undefined, 1_000, 0);
  assert.equal(ladder.size, 3);
  for (const key of ['1:a', '1:a', '1:twin', '1:stranger']) ladder.isBack(key);
  assert.deepEqual([lane.out, ladder.size], [1, 1]);
});

test('two copies with one key, of messages that share an ID, leave nothing counted as out', () => {
  const lane = new Lane<Entry>(merchant(), 0);
  const ladder = new OnLadder();
  lane.out = 2;
  ladder.put('1:a', lane, 1_000, 0);
  ladder.put('1:a', lane, 1_000, 0);
  for (const key of ['1:a', '1:a']) ladder.isBack(key);
  assert.deepEqual([lane.out, ladder.size], [0, 0]);
});

test('what another process took is counted out no longer than the ladder can take', () => {
  const lane = new Lane<Entry>(merchant(), 0);
  const ladder = new OnLadder();
  lane.out = 1;
  ladder.put('1:a', lane, 8_000, 0);
  ladder.beginSweep();
  ladder.sweep(8_000);
  assert.deepEqual([lane.out, ladder.size], [1, 1]);
  ladder.beginSweep();
  ladder.sweep(60_000);
  assert.deepEqual([lane.out, ladder.size], [0, 0]);
});
