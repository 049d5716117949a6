import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import type { Handler } from '../../src/handler.ts';
import type { HttpClient } from '../../src/merchant/http-client.ts';
import type { Merchant } from '../../src/order.ts';
import { type Batch, outcomeCode } from '../../src/protocol.ts';
import { Runner, type RunnerParts } from '../../src/shard/run-handler.ts';
import { SlotTable } from '../../src/slot-table.ts';
import { merchantOf } from '../merchant/stub.ts';

/** Longer than a turn may start orders. */
const LONG_MS = 30;

function runnerOf(
  deliver: Handler['deliver'],
  { confirm, ...told }: Partial<Pick<Handler, 'confirm'> & Pick<RunnerParts, 'report' | 'wake' | 'current'>> = {},
): { runner: Runner; table: SlotTable; batchOf: (...ids: string[]) => Batch } {
  const table = new SlotTable(16);
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const runner = new Runner({
    handler: { deliver, ...(confirm === undefined ? {} : { confirm }) },
    http: {} as HttpClient, // the handler makes no calls
    table,
    current: new AsyncLocalStorage(),
    logger: { ...silent, child: () => silent },
    told: { sharedKey: false },
    report: () => {},
    wake: () => {},
    ...told,
  });
  let slot = 0;
  const batchOf = (...ids: string[]): Batch => ({
    kind: 'batch',
    orders: ids.flatMap((id) => {
      const generation = table.open(slot, 1);
      return [slot++, generation, 'm-1', id, id, 1, 0, systemClock.now() + 60_000, Date.now(), '{}'];
    }),
  });
  return { runner, table, batchOf };
}

function hold(): void {
  for (const until = performance.now() + LONG_MS; performance.now() < until; );
}

test('a burst of batches is started in turns, in order: what is under way has the event loop in between', async () => {
  const seen: string[] = [];
  const { runner, batchOf } = runnerOf((order) => {
    seen.push(order.id);
    hold();
  });
  const merchants = [merchantOf(undefined)];
  runner.accept({ ...batchOf('a', 'b'), merchants });
  runner.accept(batchOf('c'));
  runner.accept(batchOf('d'));
  assert.deepEqual(seen, ['a', 'b']);
  setImmediate(() => seen.push('the event loop'));
  while (seen.length < 5) await new Promise(setImmediate);
  assert.deepEqual(seen, ['a', 'b', 'c', 'the event loop', 'd']);
});

test('what comes while batches wait goes behind them', async () => {
  const seen: string[] = [];
  const { runner, batchOf } = runnerOf((order) => {
    seen.push(order.id);
    if (order.id === 'a') hold();
  });
  runner.accept({ ...batchOf('a'), merchants: [merchantOf(undefined)] });
  runner.accept(batchOf('b'));
  // A batch of its own turn of the event loop, but before b's.
  process.nextTick(() => runner.accept(batchOf('c')));
  while (seen.length < 3) await new Promise(setImmediate);
  assert.deepEqual(seen, ['a', 'b', 'c']);
});

test('merchants that are told as alike have all but ID and URL of the whole one before them', async () => {
  const seen = new Map<string, Merchant>();
  const { runner, batchOf } = runnerOf((order, ctx) => {
    seen.set(order.id, ctx.merchant);
  });
  const [a, bare] = [merchantOf('https://pos.example/a', { 'x-key': '1' }), merchantOf(undefined)];
  const of = (merchantId: string, batch: Batch): Batch => ({ ...batch, orders: batch.orders.with(2, merchantId) });
  runner.accept({ ...of('b', batchOf('1')), merchants: [{ ...a, id: 'a' }, 'b', 'https://pos.example/b'] });
  runner.accept({ ...of('c', batchOf('2')), merchants: ['c', 'https://pos.example/c'] });
  runner.accept({ ...of('e', batchOf('3')), merchants: [{ ...bare, id: 'd' }, 'e', ''] });
  while (seen.size < 3) await new Promise(setImmediate);
  assert.deepEqual(seen.get('1'), { ...a, id: 'b', url: 'https://pos.example/b' });
  assert.deepEqual(seen.get('2'), { ...a, id: 'c', url: 'https://pos.example/c' });
  assert.deepEqual(seen.get('3'), { ...bare, id: 'e' });
});

test('orders that wait for a turn have not begun, and who waits for that is told when they have', async () => {
  let told = 0;
  const { runner, table, batchOf } = runnerOf(hold, { wake: () => void told++ });
  const merchants = [merchantOf(undefined)];
  table.awaitBegun();
  runner.accept({ ...batchOf('a', 'b'), merchants });
  runner.accept(batchOf('c'));
  assert.deepEqual([table.begun(), told], [2, 1]);
  table.awaitBegun();
  while (table.begun() < 3) await new Promise(setImmediate);
  assert.equal(told, 2);
});

test('what confirm answers when the attempt’s time was over starts no delivery', async () => {
  const answer = Promise.withResolvers<'not-there'>();
  const ended = Promise.withResolvers<unknown>();
  let delivered = 0;
  const { runner, batchOf } = runnerOf(() => void delivered++, {
    confirm: () => answer.promise,
    report: (_slot, _generation, code) => ended.resolve(code),
  });
  const { orders, ...batch } = batchOf('a');
  const confirmFirst = orders.with(6, 1);
  runner.accept({ ...batch, orders: confirmFirst, merchants: [{ ...merchantOf(undefined), timeoutMs: 1 }] });
  assert.equal(await ended.promise, outcomeCode({ kind: 'ambiguous', reason: '' }));
  answer.resolve('not-there');
  await new Promise(setImmediate);
  assert.equal(delivered, 0);
});

test('who listens to the signal when time is over does so for its order, also beside others of the same limit', async () => {
  const current: RunnerParts['current'] = new AsyncLocalStorage();
  const heard = new Map<string, unknown>();
  const { runner, batchOf } = runnerOf(
    (order, context) => {
      const { slot } = current.getStore() ?? {};
      context.signal.addEventListener('abort', () => heard.set(order.id, [slot, current.getStore()?.slot]));
      return new Promise(() => {}); // it never ends
    },
    { current },
  );
  const merchants = [{ ...merchantOf(undefined), timeoutMs: 5 }];
  runner.accept({ ...batchOf('a', 'b', 'c'), merchants });
  while (heard.size < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(Object.fromEntries(heard), { a: [0, 0], b: [1, 1], c: [2, 2] });
});

/** What libraries have that make no promises but something alike. */
function asThenable(promise: Promise<unknown>): object {
  const thenable = {};
  Reflect.set(thenable, 'then', promise.then.bind(promise));
  return thenable;
}

test('each attempt ends with what its own handler came to, in whatever order and by whomever they are resolved', async () => {
  const made = new Map<string, PromiseWithResolvers<unknown>>();
  const ends: [unknown, unknown][] = [];
  const bySlot = ([one]: [unknown, unknown], [other]: [unknown, unknown]): number => Number(one) - Number(other);
  const { runner, batchOf } = runnerOf(
    (order) => {
      const own = Promise.withResolvers<unknown>();
      made.set(order.id, own);
      return order.id === 'c' ? asThenable(own.promise) : own.promise;
    },
    { report: (slot, _generation, code) => ends.push([slot, code]) },
  );
  runner.accept({ ...batchOf('a', 'b', 'c', 'd'), merchants: [merchantOf(undefined)] });
  made.get('d')?.resolve(undefined);
  made.get('c')?.resolve(undefined);
  made.get('b')?.reject(new Error('b'));
  made.get('a')?.resolve(undefined);
  while (ends.length < 4) await new Promise(setImmediate);
  const [delivered, failed] = [outcomeCode({ kind: 'delivered' }), outcomeCode({ kind: 'failed', reason: '' })];
  const expected = [delivered, failed, delivered, delivered].map((code, slot) => [slot, code]);
  assert.deepEqual(ends.toSorted(bySlot), expected);
});

test('a handler that has put a promise of its own in the place of Promise changes nothing', async (t) => {
  const native = globalThis.Promise;
  t.after(() => {
    globalThis.Promise = native;
  });
  /** Nothing that anybody could wait for. */
  class Odd extends native<unknown> {
    static override resolve(): never {
      throw new Error('asked for another promise');
    }
  }
  const ends: unknown[] = [];
  const { runner, batchOf } = runnerOf(
    () => {
      const promise = native.resolve();
      Reflect.set(promise, 'then', () => {
        throw new Error('its own then');
      });
      return promise;
    },
    { report: (slot, _generation, code) => ends.push([slot, code]) },
  );
  globalThis.Promise = Odd as unknown as PromiseConstructor;
  runner.accept({ ...batchOf('a', 'b'), merchants: [merchantOf(undefined)] });
  globalThis.Promise = native;
  while (ends.length < 2) await new native(setImmediate);
  const delivered = outcomeCode({ kind: 'delivered' });
  assert.deepEqual(ends, [
    [0, delivered],
    [1, delivered],
  ]);
});

test('a handler sees its merchant in its context, and nobody else’s', async () => {
  const seen = Promise.withResolvers<string>();
  const { runner, batchOf } = runnerOf((order, context) => {
    if (order.id === 'b') seen.resolve(JSON.stringify(context));
    return new Promise((resolve) => setImmediate(resolve));
  });
  const secret = { ...merchantOf(undefined, { 'x-key': 'secret' }), id: 'other' };
  const { orders, ...batch } = batchOf('a', 'b');
  const mixed = orders.with(2, 'other');
  runner.accept({ ...batch, orders: mixed, merchants: [secret, merchantOf(undefined)] });
  assert.doesNotMatch(await seen.promise, /secret/);
});

test('what confirm answers when its time is over, but nobody has been told, starts no delivery either', async () => {
  const ended = Promise.withResolvers<unknown>();
  let delivered = 0;
  const { runner, batchOf } = runnerOf(() => void delivered++, {
    confirm: (_order, context) => {
      while (context.timeLeftMs() > 0); // no timer comes in between
      return 'not-there';
    },
    report: (_slot, _generation, code) => ended.resolve(code),
  });
  const { orders, ...batch } = batchOf('a');
  runner.accept({ ...batch, orders: orders.with(6, 1), merchants: [{ ...merchantOf(undefined), timeoutMs: 1 }] });
  assert.equal(await ended.promise, outcomeCode({ kind: 'ambiguous', reason: '' }));
  assert.equal(delivered, 0);
});
