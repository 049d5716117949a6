import assert from 'node:assert/strict';
import { test } from 'node:test';
import { disturbance, ticksOf, Undisturbed, worstShare } from '../../bench/stolen.ts';

/** What was stolen in each second, of 200 ticks. */
function samples(...stolen: readonly number[]): { all: number; stolen: number }[] {
  let sum = 0;
  return [0, ...stolen].map((ticks, second) => {
    sum += ticks;
    return { all: second * 200, stolen: sum };
  });
}

test('of what the kernel tells, guests are not counted twice', () => {
  const stat = 'cpu  100 10 50 800 5 1 4 30 60 6\ncpu0 1 1 1 1 1 1 1 1 1 1\n';
  assert.deepEqual(ticksOf(stat), { all: 1000, stolen: 30 });
});

test('the worst five seconds count, wherever they are', () => {
  assert.equal(worstShare(samples(0, 0, 0, 20, 40, 60, 40, 40, 0, 0, 0)), 0.2);
  assert.equal(worstShare(samples(0, 0, 0, 100, 0, 0, 0)), 0.1, 'one second is a fifth of five');
  assert.equal(worstShare(samples(20, 40)), 0.15, 'there are two only');
  assert.equal(worstShare(samples()), 0);
});

/** A host that takes one share after the other. */
function host(...shares: readonly number[]) {
  const told: string[] = [];
  const left = [...shares];
  const seen = { told, runs: 0, waits: 0 };
  const undisturbed = new Undisturbed(
    (what) => told.push(what),
    () => {
      seen.waits++;
      return Promise.resolve();
    },
  );
  const measured = () => Promise.resolve({ stolen: left.shift() ?? 1, run: ++seen.runs });
  return { seen, next: () => undisturbed.run(measured) };
}

test('what the host disturbed is measured again when it is quiet, whatever it came to', async () => {
  const { seen, next } = host(0.4, 0.06, 0.05);
  assert.deepEqual(await next(), { stolen: 0.05, run: 3 });
  assert.equal(seen.waits, 2, 'until the host is quiet, before each run that is made again');
  assert.deepEqual(seen.told, [
    'the host took 40% of the CPU time for 5 s: once more',
    'the host took 6% of the CPU time for 5 s: once more',
  ]);
});

test('when a group has been kept waiting four times, the least disturbed of each further run is what there is', async () => {
  const { seen, next } = host(0.3, 0.02, 0.4, 0.2, 0.3, 0.5, 0.6, 0.01);
  assert.equal((await next()).run, 2);
  assert.deepEqual(await next(), { stolen: 0.2, run: 4 });
  assert.match(seen.told.at(-1) ?? '', /20% of the CPU time .*: it is kept as it is/);
  assert.deepEqual(await next(), { stolen: 0.6, run: 7 }, 'no more waiting');
  assert.equal(seen.waits, 4);
  assert.deepEqual(await next(), { stolen: 0.01, run: 8 });
});

test('a row says that the host disturbed it from a twentieth on', () => {
  assert.equal(disturbance(0.05), undefined);
  assert.equal(disturbance(0.26), 'the host took 26% of the CPU time for 5 s');
});
