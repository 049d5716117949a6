import assert from 'node:assert/strict';
import { test } from 'node:test';
import { taskOf } from '../../bench/task.ts';

test('an order becomes a task of message protocol 2 that carries it byte for byte', () => {
  const order = Buffer.from('{"id": "o-1",  "note": "ü"}');
  const { content, options } = taskOf('msg-1', 'm-1', order);
  const [args, kwargs, embedded] = JSON.parse(content.toString()) as [string[], object, object];
  assert.deepEqual(args, ['m-1', 'msg-1', order.toString()]);
  assert.deepEqual(kwargs, {});
  assert.deepEqual(Object.keys(embedded), ['callbacks', 'errbacks', 'chain', 'chord']);
  assert.equal(options.correlationId, options.headers?.['id']);
  assert.equal(options.headers?.['task'], 'bench.deliver');
});
