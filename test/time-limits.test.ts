import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../src/clock.ts';
import { Limited, TimeLimits } from '../src/time-limits.ts';

class Each extends Limited {
  readonly #timeIsOver: (endedAt: number) => void;

  constructor(endsAt: number, timeIsOver: (endedAt: number) => void) {
    super(endsAt);
    this.#timeIsOver = timeIsOver;
  }

  timeIsOver(): void {
    this.#timeIsOver(systemClock.now());
  }
}

function limited(endsAt: number, timeIsOver: (endedAt: number) => void = () => {}): Limited {
  return new Each(endsAt, timeIsOver);
}

/** Node ends a process that has no timer: while one is there it is counted. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

test('time is over for each, in the order of their limits, and for none before its time', async () => {
  const limits = new TimeLimits();
  const now = systemClock.now();
  const ends: { endsAt: number; endedAt: number }[] = [];
  await new Promise<void>((resolve) => {
    for (const afterMs of [45, 5, 25, 5.5, 65]) {
      const endsAt = now + afterMs;
      const each = limited(endsAt, (endedAt) => {
        ends.push({ endsAt, endedAt });
        if (ends.length === 5) resolve();
      });
      each.limitBy(limits);
    }
  });
  for (const { endsAt, endedAt } of ends) assert.ok(endedAt >= endsAt, `${endedAt} is before ${endsAt}`);
  const times = ends.map(({ endsAt }) => Math.round(endsAt - now));
  assert.deepEqual(times.toSpliced(0, 2), [25, 45, 65]);
});

test('what ended in time, first, last or between, is not told; its neighbours are', async () => {
  const limits = new TimeLimits();
  const endsAt = systemClock.now() + 20;
  const told: number[] = [];
  const all = [0, 1, 2, 3, 4].map((n) => limited(endsAt, () => told.push(n)));
  for (const each of all) each.limitBy(limits);
  for (const n of [0, 2, 4]) (all[n] as Limited).endLimit();
  (all[2] as Limited).endLimit(); // once more
  await new Promise<void>((resolve) => {
    limited(endsAt + 20, () => resolve()).limitBy(limits);
  });
  assert.deepEqual(new Set(told), new Set([1, 3]));
});

test('one whose time is over may end its neighbour', async () => {
  const limits = new TimeLimits();
  const endsAt = systemClock.now() + 20;
  const told: string[] = [];
  const neighbour = limited(endsAt, () => told.push('neighbour'));
  neighbour.limitBy(limits);
  limited(endsAt, () => {
    told.push('one');
    neighbour.endLimit();
  }).limitBy(limits);
  await new Promise<void>((resolve) => {
    limited(endsAt + 20, () => resolve()).limitBy(limits);
  });
  assert.deepEqual(told, ['one']);
});

test('those of one time share a timer, and it is gone when they all ended', () => {
  const limits = new TimeLimits();
  const before = timers();
  const endsAt = systemClock.now() + 60_000;
  const all = Array.from({ length: 100 }, () => limited(endsAt));
  for (const each of all) each.limitBy(limits);
  assert.equal(timers(), before + 1);
  for (const each of all) each.endLimit();
  assert.equal(timers(), before);
  (all[0] as Limited).limitBy(limits); // and comes again
  assert.equal(timers(), before + 1);
  (all[0] as Limited).endLimit();
});

test('whoever has one sees nothing of the others', () => {
  const limits = new TimeLimits();
  const [one, other] = [limited(systemClock.now() + 60_000), limited(systemClock.now() + 60_000)];
  for (const each of [one, other]) each.limitBy(limits);
  assert.deepEqual(Object.keys(one), []);
  assert.equal(JSON.stringify(one), '{}');
  for (const each of [one, other]) each.endLimit();
});
