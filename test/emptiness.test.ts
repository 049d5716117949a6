import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Emptiness } from '../src/emptiness.ts';

function rig(): { state: { now: number; inHand: boolean; queued: number; fails: boolean }; emptiness: Emptiness } {
  const state = { now: 0, inHand: false, queued: 0, fails: false };
  const emptiness = new Emptiness({
    isEmpty: () => !state.inHand,
    backlog: () => (state.fails ? Promise.reject(new Error('no channel')) : Promise.resolve(state.queued)),
    clock: { now: () => state.now, wall: () => 0 },
  });
  return { state, emptiness };
}

test('three seconds without anything in hand or queued are emptiness, and whatever comes begins them anew', async () => {
  for (const comes of ['inHand', 'queued', 'fails'] as const) {
    const { state, emptiness } = rig();
    const at = async (now: number): Promise<boolean> => {
      state.now = now;
      return await emptiness.look();
    };
    assert.deepEqual([await at(0), await at(2999)], [false, false]);
    Object.assign(state, { inHand: comes === 'inHand', queued: comes === 'queued' ? 1 : 0, fails: comes === 'fails' });
    if (comes === 'fails') await assert.rejects(at(3500), /no channel/);
    else assert.equal(await at(3500), false, comes);
    Object.assign(state, { inHand: false, queued: 0, fails: false });
    assert.deepEqual([await at(4000), await at(6999), await at(7000)], [false, false, true], comes);
  }
});

test('the queues are asked once at a time', async () => {
  const counting = Promise.withResolvers<number>();
  let asked = 0;
  const emptiness = new Emptiness({
    isEmpty: () => true,
    backlog: () => {
      asked++;
      return counting.promise;
    },
    clock: { now: () => 0, wall: () => 0 },
  });
  const looks = [emptiness.look(), emptiness.look()];
  counting.resolve(0);
  assert.deepEqual([await Promise.all(looks), asked], [[false, false], 1]);
});
