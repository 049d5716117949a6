import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CrashLoop } from '../../src/dispatcher/crash-loop.ts';

test('three threads may be lost within half a minute; from then on the next waits for twice as long each time, 5 s at most', () => {
  const loop = new CrashLoop();
  const waits: number[] = [];
  for (let loss = 0; loss < 11; loss++) {
    loop.lost(loss * 1_000);
    waits.push(loop.waitMs(loss * 1_000));
  }
  assert.deepEqual(waits, [0, 0, 0, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
});

test('what was lost half a minute ago counts no more', () => {
  const loop = new CrashLoop();
  for (const at of [0, 0, 20_000, 20_000]) loop.lost(at);
  assert.equal(loop.waitMs(29_999), 200);
  assert.equal(loop.waitMs(30_000), 0);
  for (const at of [30_000, 30_000]) loop.lost(at);
  assert.equal(loop.waitMs(30_000), 200);
});
