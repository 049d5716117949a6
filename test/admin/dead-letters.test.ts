import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeadLetterCounts, type Filter, isMeant, ranked } from '../../src/admin/dead-letters.ts';
import { deadLetter } from './dead-letter.ts';

const NOW = 1_800_000_000_000;
const MINUTE_MS = 60_000;

function meant(filter: Filter): string[] {
  const letters = [
    deadLetter({ orderId: 'a', merchantId: 'm-1', reason: 'rejected', endedAt: NOW - 10 * MINUTE_MS }),
    deadLetter({ orderId: 'b', merchantId: 'm-2', reason: 'rejected', endedAt: NOW - 20 * MINUTE_MS }),
    deadLetter({ orderId: 'c', merchantId: 'm-1', reason: 'expired', endedAt: NOW - 30 * MINUTE_MS }),
    deadLetter({ orderId: 'd', merchantId: 'm-1', reason: 'expired', endedAt: undefined }),
  ];
  return letters.filter((letter) => isMeant(letter, filter, NOW)).map(({ orderId }) => orderId);
}

test('a filter that says nothing means all', () => {
  assert.deepEqual(meant({}), ['a', 'b', 'c', 'd']);
});

test('merchants, reasons and orders mean any of those named, and all that is given must be true', () => {
  assert.deepEqual(meant({ merchants: new Set(['m-1']) }), ['a', 'c', 'd']);
  assert.deepEqual(meant({ reasons: new Set(['rejected', 'malformed']) }), ['a', 'b']);
  assert.deepEqual(meant({ orders: new Set(['c', 'b', 'z']) }), ['b', 'c']);
  assert.deepEqual(meant({ merchants: new Set(['m-1']), reasons: new Set(['rejected']) }), ['a']);
});

test('ages are counted from the death, the older bound included and the newer one not', () => {
  assert.deepEqual(meant({ olderThanMs: 20 * MINUTE_MS }), ['b', 'c']);
  assert.deepEqual(meant({ newerThanMs: 20 * MINUTE_MS }), ['a']);
  assert.deepEqual(meant({ olderThanMs: 15 * MINUTE_MS, newerThanMs: 25 * MINUTE_MS }), ['b']);
});

test('a letter that does not say when it died has no age, and is meant by none', () => {
  assert.deepEqual(meant({ olderThanMs: 0 }), ['a', 'b', 'c']);
  assert.deepEqual(meant({ newerThanMs: 365 * 24 * 60 * MINUTE_MS }), ['a', 'b', 'c']);
});

test('counts are by reason and merchant, with the first and the last death', () => {
  const counts = new DeadLetterCounts();
  counts.add(deadLetter({ merchantId: 'm-1', reason: 'rejected', bytes: 10, endedAt: 500 }));
  counts.add(deadLetter({ merchantId: 'm-1', reason: 'expired', bytes: 20, endedAt: 300 }));
  counts.add(deadLetter({ merchantId: 'm-2', reason: 'expired', bytes: 30, endedAt: undefined }));
  assert.deepEqual([counts.total, counts.bytes, counts.oldest, counts.newest], [3, 60, 300, 500]);
  assert.deepEqual(ranked(counts.byReason), [
    ['expired', 2],
    ['rejected', 1],
  ]);
  assert.deepEqual(ranked(counts.byMerchant), [
    ['m-1', 2],
    ['m-2', 1],
  ]);
});
