import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noteStandstill } from '../../src/dispatcher/catching-up.ts';
import { Deferral, deferred } from '../../src/dispatcher/deferral.ts';
import { rungFor } from '../../src/ladder.ts';
import { Lane, type Waiting } from '../../src/lane/lane.ts';
import type { Merchant } from '../../src/order.ts';
import type { Gate } from '../../src/stats.ts';
import { merchant, START } from '../helpers/deliveries.ts';

const ROOM = { capacity: 1000, capacityBytes: 100_000, isBlocked: false };
const PLENTY_MS = 600_000;

/** A lane in which so many orders of so many bytes wait, and whose calls take 100 ms. */
function laneOf(waiting: number, bytes: number, fields: Partial<Merchant> = {}): Lane<Waiting> {
  const lane = new Lane<Waiting>(merchant(fields), 0);
  for (let n = 0; n < waiting; n++) lane.push({ next: undefined, bytes });
  lane.latencyMs = 100;
  return lane;
}

function isDue(lane: Lane<Waiting>, gate: Gate | undefined, bytes: number, unsettledBytes: number): boolean {
  return new Deferral().isDue(lane, gate, bytes, PLENTY_MS, { ...ROOM, unsettled: 10, unsettledBytes });
}

test('a merchant that answers may hold four times the bytes that are free', () => {
  assert.equal(isDue(laneOf(4, 4_000), 'limit', 24_000, 90_000), false, '40,000 of 4 x 10,000');
  assert.equal(isDue(laneOf(4, 4_000), 'limit', 24_001, 90_000), true);
  assert.equal(isDue(laneOf(0, 0), 'limit', 90_000, 90_000), false, 'nothing of it waits');
});

test('one that stands still may hold as many bytes as are free, and a tenth of all stays free of such', () => {
  assert.equal(isDue(laneOf(2, 2_000), 'hold', 36_000, 50_000), false, '40,000 of 90,000 - 50,000');
  assert.equal(isDue(laneOf(2, 2_000), 'hold', 36_001, 50_000), true);
  assert.equal(isDue(laneOf(0, 0), 'hold', 1, 89_999), false);
  assert.equal(isDue(laneOf(0, 0), 'hold', 1, 90_000), true, 'the last tenth');
  assert.equal(isDue(laneOf(0, 0), 'limit', 1, 90_000), false, 'not for one that answers');
});

test('an order that no rung would bring back before its deadline is not sent away', () => {
  const of = (leftMs: number): boolean =>
    new Deferral().isDue(laneOf(900, 1), 'hold', 1, leftMs, { ...ROOM, unsettled: 900, unsettledBytes: 900 });
  assert.deepEqual([of(1_999), of(2_000)], [false, true]);
});

function delayOf(
  lane: Lane<Waiting>,
  gate: Gate | undefined,
  hop: number,
  random = 0,
  leftMs = 4 * PLENTY_MS,
  now = START,
  attempt = 1,
): number {
  const outcome = deferred(lane, gate, { hop, attempt }, leftMs, random, now);
  assert.equal(outcome.kind, 'deferred');
  return (outcome as { readonly delayMs: number }).delayMs;
}

test('what keeps a merchant for longer keeps its orders away for 8 s, doubled by each hop, up to its most', () => {
  const idle = laneOf(0, 0);
  const delays = (gate: Gate): number[] => [0, 1, 3, 9].map((hop) => delayOf(idle, gate, hop));
  assert.deepEqual(delays('suspect'), [8_000, 16_000, 64_000, 64_000]);
  assert.deepEqual(delays('breaker'), [8_000, 16_000, 64_000, 64_000]);
  assert.deepEqual(delays('pause'), [8_000, 16_000, 64_000, 512_000]);
  assert.deepEqual(delays('limit'), [0, 0, 0, 0]);
  const hanging = laneOf(0, 0);
  hanging.failing = true;
  assert.equal(delayOf(hanging, 'limit', 0), 8_000);
});

test('hops that were attempts do not keep an order away for longer', () => {
  const of = (hop: number, attempt: number): number =>
    delayOf(laneOf(0, 0), 'breaker', hop, 0, 4 * PLENTY_MS, START, attempt);
  assert.deepEqual([of(2, 3), of(3, 3), of(0, 3)], [8_000, 16_000, 8_000]);
});

/** When the lane was seen to stand still, in seconds since the start. */
function stands(lane: Lane<Waiting>, gate: Gate, ...at: readonly number[]): void {
  for (const each of at) noteStandstill(lane, gate, { isSlow: () => false }, START + each * 1000);
}

test('what is guessed is as long as the merchant has been silent already, up to a minute', () => {
  const lane = laneOf(0, 0);
  const delays = (gate: Gate): number[] => [0, 1, 3].map((hop) => delayOf(lane, gate, hop));
  stands(lane, 'breaker', 0);
  assert.deepEqual(delays('breaker'), [8_000, 16_000, 64_000]);
  stands(lane, 'breaker', 5, 10, 15, 20);
  assert.deepEqual(delays('breaker'), [20_000, 20_000, 64_000]);
  lane.out = 100_000; // a backlog of 200 s
  assert.deepEqual(delays('limit'), [40_000, 40_000, 64_000]);
  stands(lane, 'breaker', 25, 30, 35);
  assert.deepEqual(delays('limit'), [64_000, 64_000, 64_000]);
  lane.out = 100;
  lane.answeredAt = START;
  assert.deepEqual(delays('limit'), [200, 16_000, 64_000], 'what has come back in vain, while it catches up');
  assert.deepEqual(delays('rate'), [200, 200, 200], 'that knows its time');
  lane.catchesUp = false;
  assert.deepEqual(delays('limit'), [200, 200, 200]);
  lane.answeredAt = Number.NEGATIVE_INFINITY;
  stands(lane, 'breaker', 46);
  assert.deepEqual(delays('breaker'), [8_000, 16_000, 64_000], 'it is silent again');
  for (let at = 50; at <= 300; at += 5) stands(lane, 'pause', at);
  assert.deepEqual(delays('pause'), [64_000, 64_000, 64_000], 'whoever resumes it does not wait for as long as that');
});

test('an old silence counts for nothing, and a merchant that answers is not silent', () => {
  const lane = laneOf(0, 0);
  stands(lane, 'breaker', 0, 10, 20);
  const at = (s: number): number => delayOf(lane, 'breaker', 0, 0, PLENTY_MS, START + s * 1000);
  assert.deepEqual([at(84), at(85)], [20_000, 8_000]);
  const slow = laneOf(0, 0);
  for (const gate of ['hold', 'slow'] as const) stands(slow, gate, 0, 10, 20);
  assert.equal(slow.catchesUp, true);
  assert.equal(delayOf(slow, 'breaker', 0), 8_000);
});

test('one that has answered after its silence is kept away for no longer than it has not answered since', () => {
  const lane = laneOf(0, 0);
  stands(lane, 'breaker', 0, 10, 20, 30);
  const at = (s: number): number => delayOf(lane, 'breaker', 0, 0, PLENTY_MS, START + s * 1000);
  assert.equal(at(50), 30_000);
  lane.answeredAt = START + 31_000;
  assert.deepEqual([at(32), at(50)], [8_000, 19_000]);
});

test('what is guessed leaves a quarter of the time to the deadline, on the ladder too', () => {
  const lane = laneOf(0, 0);
  stands(lane, 'pause', ...Array.from({ length: 10 }, (_, n) => n * 10));
  for (let leftMs = 2_000; leftMs < 600_000; leftMs += 500) {
    const rung = rungFor(delayOf(lane, 'pause', 9, 0, leftMs, START + 90_000), 0, leftMs);
    assert.ok((rung?.delayMs ?? 0) <= 0.75 * leftMs, `${rung?.delayMs} of ${leftMs}`);
    assert.ok((rung?.delayMs ?? 0) >= 0.25 * Math.min(leftMs, 512_000), `${rung?.delayMs} of ${leftMs}`);
  }
});

test('what is behind others is away for as long as those take, those on the ladder counted, up to 8 s at first', () => {
  const lane = laneOf(1_000, 1); // 50 at a time of 100 ms each: 500 a second
  lane.out = 500;
  assert.equal(delayOf(lane, 'limit', 0), 3_000);
  lane.out = 9_000;
  assert.deepEqual(
    [delayOf(lane, 'limit', 0), delayOf(lane, 'limit', 1), delayOf(lane, 'limit', 2)],
    [8_000, 16_000, 20_000],
  );
});

test('a guess is cut by up to a quarter by chance, and the time that a merchant has asked for is not', () => {
  const lane = laneOf(1_000, 1);
  assert.equal(delayOf(lane, 'limit', 0, 1), 1_500);
  lane.holdUntil = START + 5_000;
  assert.equal(delayOf(lane, 'hold', 0, 1), 5_000);
});

test('a merchant that comes to stand still gives up what it holds beyond its share, as far as confirms are expected', () => {
  const deferral = new Deferral();
  const window = { ...ROOM, unsettled: 500, unsettledBytes: 500 };
  const lane = laneOf(470, 1);
  assert.equal(deferral.excess(lane, 'limit', window), 0);
  assert.equal(deferral.excess(lane, 'breaker', window), 70, '900 - 500 may stay');
  for (let n = 0; n < 60; n++) deferral.published();
  assert.equal(deferral.excess(lane, 'breaker', window), 40, 'of the tenth that is kept, 60 are taken');
  deferral.confirmed();
  assert.equal(deferral.excess(lane, 'breaker', window), 41);
});

test('however large the window is, a thousand wait for their confirms at most', () => {
  const window = { capacity: 30_000, capacityBytes: 1e9, isBlocked: false, unsettled: 15_000, unsettledBytes: 15_000 };
  const deferral = new Deferral();
  assert.equal(deferral.excess(laneOf(14_000, 1), 'breaker', window), 1_000);
  for (let n = 0; n < 999; n++) deferral.published();
  assert.equal(deferral.excess(laneOf(14_000, 1), 'breaker', window), 1);
});

test('so it does in bytes, when those are more than its share', () => {
  const window = { ...ROOM, unsettled: 60, unsettledBytes: 60_000 };
  const excess = new Deferral().excess(laneOf(60, 1_000), 'breaker', window);
  assert.equal(excess, 30, '90,000 - 60,000 may stay');
  assert.equal(new Deferral().excess(laneOf(15, 1_000), 'breaker', window), 0);
});

test('when orders are large, a merchant may hold four times of what then has room, and not of what small ones had', () => {
  const window = { ...ROOM, capacity: 75, unsettledBytes: 74_000 };
  const lane = laneOf(74, 1_000);
  assert.equal(new Deferral().isDue(lane, 'limit', 1_000, PLENTY_MS, { ...window, unsettled: 74 }), true);
  assert.equal(new Deferral().isDue(laneOf(3, 1_000), 'limit', 1_000, PLENTY_MS, { ...window, unsettled: 74 }), false);
});
