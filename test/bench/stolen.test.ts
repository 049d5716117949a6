import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ticksOf, undisturbed, worstShare } from '../../bench/stolen.ts';

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

test('what the host disturbed is measured again, whatever it came to, and given up in the end', async () => {
  const told: string[] = [];
  let waits = 0;
  const shares = [0.4, 0.06, 0.05];
  const measured = await undisturbed(
    () => Promise.resolve({ stolen: shares.shift() ?? 1, better: shares.length === 2 }),
    (what) => told.push(what),
    () => {
      waits++;
      return Promise.resolve();
    },
  );
  assert.deepEqual(measured, { stolen: 0.05, better: false });
  assert.equal(told.length, 2);
  assert.equal(waits, 2, 'until the host is quiet, before each run that is made again');
  assert.match(told[0] ?? '', /40% of the CPU time/);
  await assert.rejects(
    undisturbed(
      () => Promise.resolve({ stolen: 0.3 }),
      () => undefined,
      () => Promise.resolve(),
    ),
    /30% of the CPU time for 5 s, and as much in 3 runs before/,
  );
});
