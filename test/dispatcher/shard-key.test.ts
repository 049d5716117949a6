import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shardKey, shardOf } from '../../src/dispatcher/shard-key.ts';

// Computed by another program from the definition. They may never change: a merchant's shard is a contract.
const GOLDEN: readonly (readonly [string, number, number])[] = [
  ['', 0xab3e7c0b, 3],
  ['a', 0x1a80b1b3, 3],
  ['merchant-1', 0x681f922f, 7],
  ['merchant-2', 0x40491e63, 3],
  ['pos-00041', 0x58f18605, 5],
  ['pos-00042', 0x8e670029, 1],
  ['4242', 0x48d43075, 5],
  ['café', 0x32d887f5, 5],
  ['寿司屋', 0xa370ca8e, 6],
  ['🍕', 0xd621c4b9, 1],
  ['4f3c2b1a-9d8e-4c7b-8a6f-5e4d3c2b1a09', 0x1256c158, 0],
  ['A Very Long Merchant Name, Inc. / Store #0001', 0x06f8e450, 0],
];

test('a merchant goes to the same shard after every restart and release', () => {
  for (const [merchantId, key, ofEight] of GOLDEN) {
    assert.equal(shardKey(merchantId), key, merchantId);
    assert.equal(shardOf(merchantId, 8), ofEight, merchantId);
  }
});

test('sequential merchant IDs spread evenly over any number of shards', () => {
  const MERCHANTS = 100_000;
  for (const prefix of ['', 'merchant-']) {
    for (let shards = 2; shards <= 8; shards++) {
      const counts = Array.from({ length: shards }, () => 0);
      for (let i = 0; i < MERCHANTS; i++) {
        const shard = shardOf(`${prefix}${i}`, shards);
        counts[shard] = (counts[shard] ?? 0) + 1;
      }
      const fair = MERCHANTS / shards;
      for (const count of counts) {
        assert.ok(Math.abs(count - fair) < 0.03 * fair, `'${prefix}' over ${shards} shards: ${counts.join(', ')}`);
      }
    }
  }
});
