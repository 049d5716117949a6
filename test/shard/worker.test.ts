import assert from 'node:assert/strict';
import { test } from 'node:test';

test('the module of a thread has no default export, at which Node aborts when the thread is ended while it loads', async () => {
  assert.deepEqual(Object.keys(await import('../../src/shard/worker.ts')), ['task']);
});
