import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventQueue } from '../../bench/simulation/event-queue.ts';
import type { Ending } from '../../src/lane/ending.ts';
import { Lane, type Waiting } from '../../src/lane/lane.ts';
import { seeded } from '../../src/sim/random.ts';
import { merchant } from '../helpers/deliveries.ts';

const ANSWERED: Ending = { told: 'answered', overloaded: false, retryAfterMs: undefined };
const REFUSED: Ending = { ...ANSWERED, overloaded: true };
const REFUSAL_MS = 5;
const TIMEOUT_MS = 15_000;
const FAILED: Ending = { told: 'failed', overloaded: false, retryAfterMs: undefined };

/** What a merchant says to a call: how it ends, and when. */
type Says = (now: number) => readonly [Ending, number];

/**
 * A lane that always has orders waiting, looked at ten times a second and whenever a call ends. Returns how many orders a
 * second the merchant has taken in each second, and how many it has refused.
 */
function serve(says: Says, seconds: number): { readonly taken: number[]; readonly refused: number[] } {
  const time = new EventQueue();
  const lane = new Lane<Waiting>(merchant({ concurrency: 50 }), 0);
  const taken = Array.from({ length: seconds + 60 }, () => 0);
  const refused = [...taken];
  const pump = (): void => {
    while (lane.gate(time.now()) === undefined) {
      const startedAt = time.now();
      const era = lane.started(startedAt);
      const [ending, afterMs] = says(startedAt);
      const [end, endMs] = afterMs > TIMEOUT_MS ? [FAILED, TIMEOUT_MS] : [ending, afterMs];
      time.after(endMs, () => {
        const second = Math.floor(time.now() / 1000);
        const counts = end === REFUSED ? refused : taken;
        if (end !== FAILED) counts[second] = (counts[second] ?? 0) + 1;
        lane.ended(era, startedAt, end, time.now());
        pump();
      });
    }
  };
  time.every(100, seconds * 1000, pump);
  time.runUntil(seconds * 1000);
  return { taken: taken.slice(0, seconds), refused: refused.slice(0, seconds) };
}

function mean(counts: readonly number[], from: number, to: number): number {
  return counts.slice(from, to).reduce((sum, count) => sum + count, 0) / (to - from);
}

const DROP_S = 60;
const RECOVER_S = 150;
const END_S = 240;

/** 50 at once, then 5, then 50. */
function capacity(now: number): number {
  return now >= DROP_S * 1000 && now < RECOVER_S * 1000 ? 5 : 50;
}

/** Before the drop, from 30 s after it, and from 30 s after the recovery: orders taken a second. */
function phases(counts: readonly number[]): readonly [number, number, number] {
  return [mean(counts, 30, DROP_S), mean(counts, DROP_S + 30, RECOVER_S), mean(counts, RECOVER_S + 30, END_S)];
}

for (const latencyMs of [100, 1000, 4000]) {
  test(`a merchant that takes 50 calls of ${latencyMs} ms at once, then refuses all above 5, gets 5, and later 50 again`, () => {
    const random = seeded(latencyMs);
    let busyUntil: number[] = [];
    const { taken, refused } = serve((now) => {
      busyUntil = busyUntil.filter((until) => until > now);
      if (busyUntil.length >= capacity(now)) return [REFUSED, REFUSAL_MS];
      const ms = latencyMs * (0.5 + random());
      busyUntil.push(now + ms);
      return [ANSWERED, ms];
    }, END_S);
    const [before, low, after] = phases(taken).map((perSecond) => (perSecond * latencyMs) / 1000) as [
      number,
      number,
      number,
    ];
    assert.ok(before >= 45, `${before} at once before`);
    assert.ok(low >= 4.5 && low <= 5.5, `${low} at once while it takes 5`);
    assert.ok(after >= 45, `${after} at once after`);
    const refusals = mean(refused, DROP_S + 30, RECOVER_S);
    assert.ok(refusals <= 0.2 + 0.05 * mean(taken, DROP_S + 30, RECOVER_S), `${refusals} refused a second`);
  });
}

for (const [why, says] of [
  ['a standstill', (now: number) => now >= DROP_S * 1000 && now < (DROP_S + 15) * 1000 && FAILED],
  ['one that refuses all above 5', (now: number, inFlight: number) => inFlight >= capacity(now) && REFUSED],
] as const) {
  test(`a merchant whose calls take more than half of the time-out gets 50 at once again after ${why}`, () => {
    const random = seeded(1);
    let busyUntil: number[] = [];
    const { taken } = serve((now) => {
      busyUntil = busyUntil.filter((until) => until > now);
      const not = says(now, busyUntil.length);
      if (not !== false) return [not, REFUSAL_MS];
      const ms = 9_000 + 2_000 * random();
      busyUntil.push(now + ms);
      return [ANSWERED, ms];
    }, END_S);
    const after = mean(taken, END_S - 30, END_S) * 10;
    assert.ok(after >= 45, `${after} at once after`);
  });
}

test('a merchant that refuses more than 5 a second gets 5 a second, and later 50 again', () => {
  let tokens = 0;
  let filledAt = 0;
  const { taken, refused } = serve((now) => {
    const rate = capacity(now);
    tokens = Math.min(rate, tokens + (rate * (now - filledAt)) / 1000);
    filledAt = now;
    if (tokens < 1) return [REFUSED, REFUSAL_MS];
    tokens--;
    return [ANSWERED, 80];
  }, END_S);
  const [before, low, after] = phases(taken);
  assert.ok(before >= 45, `${before} a second before`);
  assert.ok(low >= 4.5 && low <= 5.5, `${low} a second while it takes 5`);
  assert.ok(after >= 45, `${after} a second after`);
  const part = mean(refused, DROP_S + 30, RECOVER_S) / low;
  assert.ok(part <= 0.1, `${part} refused for each that it takes`);
});

/** A merchant that works on so many calls at once, each for so long, and on those that were given up too. */
function queueing(serviceMs: (now: number) => number): Says {
  const places: number[] = [];
  return (now) => {
    const count = capacity(now);
    while (places.length < count) places.push(now);
    places.sort((a, b) => a - b);
    places.splice(count);
    const begins = Math.max(now, places[0] as number);
    places[0] = begins + serviceMs(now);
    return [ANSWERED, begins + serviceMs(now) - now];
  };
}

test('a merchant that slows down, because it works on 5 of all that it is given at once, gets as many as it can serve', () => {
  const { taken } = serve(
    queueing(() => 1000),
    END_S,
  );
  const [before, low, after] = phases(taken);
  assert.ok(before >= 45, `${before} a second before`);
  assert.ok(low >= 4.5 && low <= 5.5, `${low} a second while it serves 5`);
  assert.ok(after >= 45, `${after} a second after`);
});

for (const slowMs of [2000, 3000]) {
  test(`when 50 calls of ${slowMs} ms would time out in its queue, it gets as many as it can serve once it has worked off what was given up`, () => {
    const isLow = (now: number): boolean => capacity(now) === 5;
    const { taken } = serve(
      queueing((now) => (isLow(now) ? slowMs : 1000)),
      END_S,
    );
    const most = 5000 / slowMs;
    const low = mean(taken, RECOVER_S - 15, RECOVER_S);
    assert.ok(low >= 0.9 * most && low <= 1.1 * most, `${low} a second while it serves ${most}`);
    const after = mean(taken, RECOVER_S + 30, END_S);
    assert.ok(after >= 45, `${after} a second after`);
  });
}
