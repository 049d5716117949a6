import assert from 'node:assert/strict';
import { test } from 'node:test';
import { betweenCalm } from '../../bench/isolation/between-calm.ts';
import { CALL_P99_MS, type Fault } from '../../bench/isolation/cases.ts';

interface Ran {
  readonly healthy: Latency;
  readonly recovery: Latency;
}

type Latency = ReturnType<typeof latency>;

function latency(overCalls: number) {
  return { published: 1, delivered: 1, p50Ms: 80, p99Ms: overCalls * CALL_P99_MS };
}

/** Healthy p99 and recovery of one run without a fault after the other, over that of the calls. With one it is always ten. */
function machine(...calm: readonly (readonly [number, number])[]) {
  const runs: string[] = [];
  const left = [...calm];
  return {
    runs,
    begin: (tries: number) =>
      Promise.resolve({
        rate: 1000 - tries,
        running: (fault?: Fault): Promise<Ran> => {
          runs.push(`${fault ?? 'calm'} at ${1000 - tries}`);
          const [healthy, recovery] = fault === undefined ? (left.shift() ?? [9, 9]) : [10, 10];
          return Promise.resolve({ healthy: latency(healthy), recovery: latency(recovery) });
        },
      }),
  };
}

test('the rate is measured again, before any fault is tried, until a run without one is calm', async () => {
  const told: string[] = [];
  const { runs, begin } = machine([1.3, 1.0], [1.0, 1.4], [1.2, 1.1], [1.5, 1.0]);
  const group = await betweenCalm(['hang', 'slow'], 1.21, begin, (what) => told.push(what));
  const wholly = ['calm', 'hang', 'slow', 'calm'].map((each) => `${each} at 997`);
  assert.deepEqual(runs, ['calm at 999', 'calm at 998', ...wholly]);
  assert.equal(group.rate, 997);
  assert.equal(group.tries, 3);
  assert.equal(group.unheld, undefined);
  assert.deepEqual(
    group.ran.map(([fault]) => fault),
    ['hang', 'slow'],
  );
  assert.deepEqual(told, [
    'at 999/s and with nothing wrong, healthy p99 was 1.30 times that of the calls alone (at most 1.21): once more',
    'at 998/s and with nothing wrong, healthy p99 was 1.40 times that of the calls alone (at most 1.21): once more',
  ]);
});

test('a rate that is not held is told of with what is measured at it, when no lower one was held either', async () => {
  const { runs, begin } = machine();
  const group = await betweenCalm(['hang'], 1.2, begin, () => undefined);
  const calms = ['calm at 999', 'calm at 998', 'calm at 997'];
  assert.deepEqual(runs, [...calms, 'calm at 996', 'hang at 996', 'calm at 996']);
  assert.equal(group.tries, 4);
  assert.match(group.unheld ?? '', /^at 996\/s and with nothing wrong, healthy p99 was 9\.00 times/);
});
