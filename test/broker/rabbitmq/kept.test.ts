import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageProperties } from 'amqplib';
import { carried, keptOf, othersOf } from '../../../src/broker/rabbitmq/kept.ts';

function properties(of: Partial<MessageProperties> = {}): MessageProperties {
  const none = Object.fromEntries(
    ['contentType', 'contentEncoding', 'deliveryMode', 'priority', 'correlationId', 'replyTo', 'expiration'].map(
      (name) => [name, undefined],
    ),
  );
  return {
    ...none,
    messageId: 'a',
    headers: { 'x-trace': '1' },
    contentType: 'application/json',
    ...of,
  } as MessageProperties;
}

const ONE_EACH = {
  contentType: 'text/plain',
  contentEncoding: 'gzip',
  correlationId: 'c',
  replyTo: 'r',
  timestamp: 1,
  type: 't',
  appId: 'app',
  priority: 3,
};

test('what messages of a publisher have in common is kept once', () => {
  const first = othersOf(properties(), undefined);
  assert.equal(othersOf(properties({ messageId: 'b', headers: {} }), first), first);
});

for (const [name, value] of Object.entries(ONE_EACH)) {
  test(`a message with another ${name} has its own, and takes it along`, () => {
    const first = othersOf(properties(), undefined);
    const asked = properties({ [name]: value });
    const others = othersOf(asked, first);
    assert.notEqual(others, first);
    assert.equal(carried({ ...keptOf(asked), others }, {})[name as 'type'], value);
    assert.equal(othersOf(properties(), others).contentType, 'application/json');
  });
}

test('what is published has what the message had, but for expiration and user ID, and nothing else', () => {
  const all = properties({ ...ONE_EACH, expiration: '5', userId: 'u', deliveryMode: 2 });
  assert.deepEqual(carried(keptOf(all), { h: 1 }), { ...ONE_EACH, messageId: 'a', headers: { h: 1 } });
  const none = properties({ contentType: undefined, messageId: undefined });
  assert.deepEqual(carried(keptOf(none), {}), { headers: {} });
});
