import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceQueueArguments, topologyOf } from '../../../src/broker/rabbitmq/topology.ts';

const QUORUM = { 'x-queue-type': 'quorum' };
const UNLIMITED = { ...QUORUM, 'x-delivery-limit': -1 };

test('every name derives from the queue’s', () => {
  const { source, others, exchange } = topologyOf('pos', '4.0.5');
  assert.equal(source.name, 'pos');
  assert.equal(exchange, 'pos.retry');
  assert.deepEqual(
    others.map(({ name }) => name),
    ['pos.dead', 'pos.ambiguous', ...[1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((s) => `pos.retry.${s * 1000}`)],
  );
});

test('there is no delivery limit: on 4.0 and later that must be said, on 3.x it must not, because -1 drops messages there', () => {
  for (const [version, expected] of [
    ['3.10.8', QUORUM],
    ['3.13.7', QUORUM],
    ['4.0.5', UNLIMITED],
    ['4.3.0-rc.1', UNLIMITED],
    ['10.0.0', UNLIMITED],
    ['unknown', QUORUM],
  ] as const) {
    assert.deepEqual(sourceQueueArguments(version), expected, version);
    const { source, others } = topologyOf('pos', version);
    assert.deepEqual(source.arguments, expected, version);
    for (const queue of others) {
      assert.equal(
        queue.arguments['x-delivery-limit'],
        expected === UNLIMITED ? -1 : undefined,
        `${version}: ${queue.name}`,
      );
    }
    assert.deepEqual(others[0]?.arguments, expected, 'dead letters stay where they are');
    assert.deepEqual(others[1]?.arguments, expected, 'ambiguous ones as well');
  }
});

test('a rung returns its messages to the source queue after its delay, and loses none on the way', () => {
  for (const [version, plain] of [
    ['3.10.8', QUORUM],
    ['4.0.5', UNLIMITED],
  ] as const) {
    const rungs = topologyOf('pos', version).others.slice(2);
    assert.equal(rungs.length, 10);
    for (const [index, { arguments: given }] of rungs.entries()) {
      assert.deepEqual(given, {
        ...plain,
        'x-message-ttl': 1000 * 2 ** index,
        'x-dead-letter-exchange': 'pos.retry',
        'x-dead-letter-routing-key': 'pos',
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      });
    }
  }
});
