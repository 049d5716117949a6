import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeKey } from '../../../src/broker/rabbitmq/announce.ts';

test('a routing key is the outcome and the merchant, dots and all', () => {
  assert.equal(outcomeKey('delivered', 'm-1'), 'delivered.m-1');
  assert.equal(outcomeKey('not-sent', 'eu.pizza'), 'not-sent.eu.pizza');
  assert.equal(outcomeKey('malformed', ''), 'malformed');
});

test('a routing key has 255 bytes at most, and is cut between two characters', () => {
  assert.equal(outcomeKey('delivered', 'm'.repeat(245)), `delivered.${'m'.repeat(245)}`);
  assert.equal(outcomeKey('delivered', 'm'.repeat(246)), `delivered.${'m'.repeat(245)}`);
  for (const character of ['é', '注', '🍕']) {
    for (let before = 0; before < 4; before++) {
      const merchantId = 'm'.repeat(before) + character.repeat(300);
      const key = outcomeKey('delivered', merchantId);
      const bytes = Buffer.byteLength(key);
      assert.ok(bytes <= 255 && bytes > 251, `${bytes} bytes`);
      assert.ok(`delivered.${merchantId}`.startsWith(key));
    }
  }
  assert.ok(Buffer.byteLength(outcomeKey('delivered', '\ud800'.repeat(300))) <= 255);
});
