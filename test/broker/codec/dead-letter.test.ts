import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDeadLetter } from '../../../src/broker/codec/dead-letter.ts';

const content = Buffer.from('{"id": "o-1"}');

test('a dead letter is read from its headers alone', () => {
  const headers = {
    order_id: 'o-1',
    merchant_id: 'pizza',
    timestamp_in_ms: 1_700_000_000_000,
    orderlane_identity: 'id-1',
    orderlane_hop: 3,
    orderlane_attempt: 2,
    orderlane_reason: 'rejected',
    orderlane_detail: 'status 422',
    orderlane_ended_at: 1_700_000_001_000,
    orderlane_replayed_at: 1_700_000_000_500,
  };
  const { fingerprint, ...letter } = readDeadLetter({ content, properties: { headers, messageId: 'other' } });
  assert.ok(fingerprint > 0);
  assert.deepEqual(letter, {
    merchantId: 'pizza',
    orderId: 'o-1',
    identity: 'id-1',
    hop: 3,
    attempt: 2,
    reason: 'rejected',
    detail: 'status 422',
    endedAt: 1_700_000_001_000,
    publishedAt: 1_700_000_000_000,
    replayedAt: 1_700_000_000_500,
    bytes: content.length,
  });
});

test('a message that somebody else has put there has its message ID, no reason and no age', () => {
  const letter = readDeadLetter({ content, properties: { messageId: 'mid' } });
  assert.deepEqual([letter.identity, letter.orderId, letter.merchantId, letter.reason], ['mid', 'mid', '', '']);
  assert.deepEqual([letter.hop, letter.attempt, letter.endedAt], [0, 1, undefined]);
});

test('another body or another merchant is another letter', () => {
  const print = (body: string, merchant: string): number =>
    readDeadLetter({ content: Buffer.from(body), properties: { headers: { merchant_id: merchant } } }).fingerprint;
  assert.equal(print('a', 'm'), print('a', 'm'));
  assert.notEqual(print('a', 'm'), print('b', 'm'));
  assert.notEqual(print('a', 'm'), print('a', 'n'));
});
