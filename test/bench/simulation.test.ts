import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CALM_MS, FAULT_MS, type Load } from '../../bench/simulation/load.ts';
import { World } from '../../bench/simulation/world.ts';

const BASE = { merchants: 1000, zipf: 1, by: 'hangs' } as const;

/** In virtual time, and the same on every machine. */
function pair(load: Load, budget: number): { ratio: number; faulty: World } {
  const worlds = [true, false].map((faulty) => new World({ load, budget, seed: 1, faulty })) as [World, World];
  for (const world of worlds) world.run();
  const [faulty, calm] = worlds.map((world) => {
    const { latencies } = world.told('healthy', CALM_MS, CALM_MS + FAULT_MS);
    return latencies[Math.floor(latencies.length * 0.99)] as number;
  }) as [number, number];
  return { ratio: faulty / calm, faulty: worlds[0] };
}

for (const [ratePerSecond, struck, budget, most] of [
  [300, 0.1, 200, 1.3],
  [300, 0.1, 1000, 1.15],
  [600, 0.3, 2000, 1.15],
  [1200, 0.5, 4000, 1.15],
] as const) {
  test(`with a budget of ${budget}, ${struck * 100}% of the merchants hang at ${ratePerSecond}/s and the others do not notice`, () => {
    const { ratio, faulty } = pair({ ...BASE, name: '', ratePerSecond, struck }, budget);
    assert.ok(ratio <= most, `p99 of the healthy is ${ratio} times that without the fault`);
    const all = faulty.told('healthy', 0, Number.POSITIVE_INFINITY);
    assert.equal(all.delivered, all.published);
    const hung = faulty.told('hangs', 0, Number.POSITIVE_INFINITY);
    assert.equal(hung.ended, hung.published);
    assert.ok(hung.mostHops <= 3, `${hung.mostHops} hops for 30 s`);
  });
}

test('a healthy merchant that takes 3 s for every tenth call is not taken for one that hangs', () => {
  const load: Load = { ...BASE, name: '', ratePerSecond: 600, struck: 0.3, bimodal: 0.05 };
  const p99 = (faulty: boolean): number => {
    const world = new World({ load, budget: 1000, seed: 1, faulty });
    world.run();
    const { latencies } = world.told('bimodal', CALM_MS, CALM_MS + FAULT_MS);
    return latencies[Math.floor(latencies.length * 0.99)] as number;
  };
  const [faulty, calm] = [p99(true), p99(false)];
  assert.ok(faulty <= 1.2 * calm, `p99 ${faulty} ms, and without the fault ${calm} ms`);
});

test('a run with the same seed is the same run', () => {
  const told = (seed: number): readonly number[] => {
    const load: Load = { ...BASE, name: '', ratePerSecond: 100, struck: 0.2, merchants: 50 };
    const world = new World({ load, budget: 50, seed, faulty: true });
    world.run();
    return world.told('healthy', 0, Number.POSITIVE_INFINITY).latencies;
  };
  assert.deepEqual(told(7), told(7));
  assert.notDeepEqual(told(7), told(8));
});
