import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, type History, type PublishedMessage, percentile, type SeenMessage } from '../../src/sim/checker.ts';

function published(key: string, more: Partial<PublishedMessage> = {}): PublishedMessage {
  return { key, order: `order-${key}`, merchant: 'm', intendedAt: 1000, confirmedAt: 1001, ...more };
}

function seen(key: string, more: Partial<SeenMessage> = {}): SeenMessage {
  return { key, merchant: 'm', acceptedAt: 1100, duplicates: 0, bodyChanged: false, merchantChanged: false, ...more };
}

function check1(history: Partial<History>): ReturnType<typeof check> {
  return check({ published: [], receipts: [], ...history });
}

test('a run in which nothing happened has nothing to say', () => {
  assert.deepEqual(check1({}), {
    published: 0,
    delivered: 0,
    deadLettered: 0,
    parked: 0,
    stillQueued: 0,
    lost: 0,
    lostKeys: [],
    doubled: 0,
    doubledKeys: [],
    unconfirmed: 0,
    duplicateSends: 0,
    mostDuplicates: 0,
    bodyChanged: 0,
    misdirected: 0,
    unknown: 0,
    unknownKeys: [],
    healthy: { published: 0, delivered: 0, p50Ms: null, p99Ms: null },
  });
});

test('every published message is counted in one end, and what is in none is lost', () => {
  const verdict = check1({
    published: ['accepted', 'dead', 'parked', 'queued', 'lost', 'refused'].map((key) => published(key)),
    receipts: [seen('accepted'), seen('dead', { acceptedAt: null }), seen('refused', { acceptedAt: null })],
    dead: ['dead'],
    ambiguous: ['parked'],
    queued: ['queued'],
  });
  const { delivered, deadLettered, parked, stillQueued, lost, lostKeys, doubled } = verdict;
  assert.deepEqual(
    { delivered, deadLettered, parked, stillQueued },
    { delivered: 1, deadLettered: 1, parked: 1, stillQueued: 1 },
  );
  assert.deepEqual({ lost, lostKeys, doubled }, { lost: 2, lostKeys: ['lost', 'refused'], doubled: 0 });
  assert.equal(verdict.published, 6);
});

test('an accepted message is delivered wherever else it is, and every second end is doubled', () => {
  const { delivered, deadLettered, stillQueued, parked, doubled, doubledKeys } = check1({
    published: ['a', 'b', 'c', 'd', 'e'].map((key) => published(key)),
    receipts: [seen('a'), seen('b'), seen('c'), seen('e')],
    dead: ['a', 'd', 'd'],
    ambiguous: ['b'],
    queued: ['c'],
  });
  assert.deepEqual(
    { delivered, deadLettered, stillQueued, parked },
    { delivered: 4, deadLettered: 1, stillQueued: 0, parked: 0 },
  );
  assert.deepEqual({ doubled, doubledKeys }, { doubled: 4, doubledKeys: ['a', 'b', 'c', 'd'] });
});

test('a message that was never confirmed counts only if it turned up', () => {
  const verdict = check1({
    published: [
      published('gone', { confirmedAt: null }),
      published('here', { confirmedAt: null }),
      published('sent', { confirmedAt: null }),
    ],
    receipts: [seen('sent', { acceptedAt: null })],
    queued: ['here'],
  });
  const { unconfirmed, stillQueued, lostKeys } = verdict;
  assert.deepEqual({ unconfirmed, stillQueued, lostKeys }, { unconfirmed: 1, stillQueued: 1, lostKeys: ['sent'] });
  assert.equal(verdict.published, 2);
});

test('a key published again is one message: due when it came first, confirmed if ever', () => {
  const verdict = check1({
    published: [published('k', { confirmedAt: null, intendedAt: 1000 }), published('k', { intendedAt: 1090 })],
    receipts: [seen('k', { acceptedAt: 1100 })],
  });
  assert.deepEqual(verdict.healthy, { published: 1, delivered: 1, p50Ms: 100, p99Ms: 100 });
  const lost = check1({ published: [published('k', { confirmedAt: null }), published('k')] });
  assert.deepEqual([lost.published, lost.lost, lost.unconfirmed], [1, 1, 0]);
});

test('duplicate sends and changed bodies are summed over all receipts, other publishers’ too', () => {
  const { duplicateSends, mostDuplicates, bodyChanged } = check1({
    published: [published('a')],
    receipts: [seen('a', { duplicates: 2 }), seen('a:pay', { duplicates: 1, bodyChanged: true }), seen('stranger')],
  });
  assert.deepEqual(
    { duplicateSends, mostDuplicates, bodyChanged },
    { duplicateSends: 3, mostDuplicates: 2, bodyChanged: 1 },
  );
});

test('a key that nobody has published is unknown, wherever it turns up', () => {
  const { unknown, unknownKeys, delivered } = check1({
    published: [published('a'), published('b', { confirmedAt: null })],
    receipts: [seen('a'), seen('b'), seen('a:again', { acceptedAt: null })],
    dead: ['other', 'a'],
    queued: ['third'],
  });
  assert.deepEqual(
    { unknown, unknownKeys, delivered },
    { unknown: 3, unknownKeys: ['a:again', 'other', 'third'], delivered: 2 },
  );
});

test('a message that went to another merchant than its own is misdirected', () => {
  const { misdirected } = check1({
    published: [published('a'), published('b'), published('c')],
    receipts: [seen('a'), seen('b', { merchant: 'n' }), seen('c', { merchantChanged: true })],
  });
  assert.equal(misdirected, 2);
});

test('latencies of healthy merchants run from the intended publish to acceptance', () => {
  const messages = Array.from({ length: 200 }, (_, i) => published(`k${i}`, { intendedAt: 1000 + i }));
  const receipts = messages.map(({ key, intendedAt }, i) => seen(key, { acceptedAt: intendedAt + 200 - i }));
  const { healthy, delivered } = check1({
    published: [...messages, published('slow', { merchant: 'ill' }), published('none')],
    receipts: [...receipts, seen('slow', { merchant: 'ill', acceptedAt: 99_000 })],
    isHealthy: (merchant) => merchant !== 'ill',
  });
  assert.deepEqual(healthy, { published: 201, delivered: 200, p50Ms: 100, p99Ms: 198 });
  assert.equal(delivered, 201);
});

test('lost keys are listed up to twenty, and all counted', () => {
  const { lost, lostKeys } = check1({ published: Array.from({ length: 30 }, (_, i) => published(`k${i}`)) });
  assert.equal(lost, 30);
  assert.deepEqual(
    lostKeys,
    Array.from({ length: 20 }, (_, i) => `k${i}`),
  );
});

test('percentiles are the nearest rank', () => {
  const ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  assert.deepEqual(
    [0, 10, 11, 50, 99, 100].map((percent) => percentile(ten, percent)),
    [1, 1, 2, 5, 10, 10],
  );
  assert.equal(percentile([7], 50), 7);
  assert.equal(percentile([], 50), null);
});
