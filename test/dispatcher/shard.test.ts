import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { systemClock } from '../../src/clock.ts';
import { type Entry, entryOf, keyOf } from '../../src/dispatcher/ledger.ts';
import { Shard, type ShardEvents } from '../../src/dispatcher/shard.ts';
import { Lane } from '../../src/lane/lane.ts';
import { delivery, merchant } from '../helpers/deliveries.ts';

const ORDERS = 10_000;
/** Handed to the thread at once, without a turn of the event loop. */
const BATCH = 64;

/** A shard with a handler of the folder beside, ready, and stopped after the test. */
async function startShard(t: TestContext, handler: string, events: Partial<ShardEvents>): Promise<Shard> {
  const ignore = (): undefined => undefined;
  const http = { connectTimeoutMs: 3_000, idleSockets: 1, allowHosts: [] } as const;
  const boot = { ...http, answers: false, logLevel: 'silent', logFields: [] } as const;
  const shard = new Shard(
    {
      index: 0,
      slots: ORDERS,
      threadTimeoutMs: 600_000,
      boot: { ...boot, handlerUrl: new URL(`handlers/${handler}`, import.meta.url).href },
    },
    {
      outcome: ignore,
      lost: ignore,
      failed: ignore,
      turn: ignore,
      ready: ignore,
      log: ignore,
      warn: ignore,
      ...events,
    },
  );
  t.after(() => shard.stop());
  await shard.start();
  return shard;
}

function hand(shard: Shard, merchantId: string, fields: Parameters<typeof delivery>[0], catchesUp = false): void {
  const lane = new Lane<Entry>(merchant({ id: merchantId }), 0);
  lane.catchesUp = catchesUp;
  const of = delivery({ merchantId, deadlineAt: systemClock.now() + 600_000, ...fields });
  shard.hand(entryOf(of, lane, keyOf(of), false, 0));
}

test('thousands of orders in one turn reach their thread in the order of handing out, each with its merchant known', async (t) => {
  const ended: string[] = [];
  const all = Promise.withResolvers<undefined>();
  const shard = await startShard(t, 'returns.ts', {
    outcome: ({ delivery: { identity } }, { kind }) => {
      ended.push(kind === 'delivered' ? identity : `${identity} ${kind}`);
      if (ended.length === ORDERS) all.resolve(undefined);
    },
    lost: (_shard, { why }) => all.reject(new Error(why)),
    failed: (error) => all.reject(error),
  });
  for (let n = 0; n < ORDERS; n++) hand(shard, `m-${n}`, { identity: `i-${n}` });
  await all.promise;
  assert.deepEqual(
    ended,
    Array.from({ length: ORDERS }, (_, n) => `i-${n}`),
  );
});

test('a thread that stands still is handed nothing more until it moves again', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const [begun, until] = [join(dir, 'begun'), join(dir, 'until')];
  const moves = Promise.withResolvers<void>();
  let isStill = false;
  const shard = await startShard(t, 'stands-still.ts', {
    ready: () => {
      if (isStill) moves.resolve();
    },
  });
  const watcher = watch(dir);
  t.after(() => watcher.close());
  const hasBegun = once(watcher, 'change');
  hand(shard, 'm', { body: JSON.stringify({ begun, until }) });
  await hasBegun;
  const now = performance.now();
  shard.watch(now, 0);
  shard.watch(now + 5000, 4900);
  assert.equal(shard.isReady, true, 'the main thread was busy itself');
  shard.watch(now + 5301, 0);
  assert.equal(shard.isReady, false);
  assert.equal(shard.stats().state, 'still');
  isStill = true;
  writeFileSync(until, '');
  await moves.promise;
  assert.equal(shard.stats().state, 'ready');
});

test('a thread that does not come to its orders is handed no more than a few batches, and more when it does', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const [begun, until] = [join(dir, 'begun'), join(dir, 'until')];
  const turn = Promise.withResolvers<void>();
  const all = Promise.withResolvers<void>();
  let handed = 0;
  let ended = 0;
  const shard = await startShard(t, 'stands-still.ts', {
    turn: () => {
      if (shard.hasRoom) turn.resolve();
    },
    outcome: () => {
      if (++ended === handed) all.resolve();
    },
  });
  const body = JSON.stringify({ begun, until });
  for (; shard.hasRoom; handed++) hand(shard, 'm', { body, identity: `i-${handed}` });
  assert.equal(handed % BATCH, 0);
  assert.ok(handed > 0 && handed < ORDERS, `${handed} orders`);
  writeFileSync(until, '');
  await turn.promise;
  await all.promise;
});

test('orders of merchants that catch up are handed over at a pace of their own', async (t) => {
  const shard = await startShard(t, 'returns.ts', {});
  let handed = 0;
  const catchUp = (): void => {
    for (; shard.hasRoomToCatchUp; handed++) hand(shard, 'm', { identity: `i-${handed}` }, true);
  };
  catchUp();
  assert.equal(handed, 16);
  assert.equal(shard.hasRoom, true);
  hand(shard, 'n', { identity: 'other' });
  shard.watch(performance.now(), 0);
  handed = 0;
  catchUp();
  assert.ok(handed >= 16, `${handed}`);
});

test('a thread that begins little is handed little at a time', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  let handed = 0;
  let ended = 0;
  let told = (): void => {};
  const allEnded = async (): Promise<void> => {
    while (ended < handed) await new Promise<void>((resolve) => (told = resolve));
  };
  const shard = await startShard(t, 'stands-still.ts', {
    outcome: () => {
      ended++;
      told();
    },
  });
  const until = join(dir, 'until');
  const body = JSON.stringify({ begun: join(dir, 'begun'), until });
  const fill = (): number => {
    const before = handed;
    for (; shard.hasRoom; handed++) hand(shard, 'm', { body, identity: `i-${handed}` });
    return handed - before;
  };
  const now = performance.now();
  shard.watch(now, 0);
  const first = fill();
  shard.watch(now + 100, 0); // it has begun none of them
  writeFileSync(until, '');
  await allEnded();
  const next = fill();
  assert.ok(next > 0 && next < first, `${next} after ${first}`);
  await allEnded();
  shard.watch(now + 200, 0); // all of these
  const then = fill();
  assert.ok(then > next, `${then} after ${next}`);
  await allEnded();
});

test('what a lost thread had not begun takes no room of the next', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const until = join(dir, 'until');
  const lost = Promise.withResolvers<number>();
  const next = Promise.withResolvers<void>();
  let handed = 0;
  let worker: Worker | undefined;
  const note = (thread: Worker): void => {
    worker ??= thread;
  };
  process.on('worker', note);
  t.after(() => process.off('worker', note));
  const shard = await startShard(t, 'stands-still.ts', {
    lost: (_shard, { handed: unsent, sending }) => lost.resolve(unsent.length + sending.length),
    ready: () => (handed > 0 ? next.resolve() : undefined),
  });
  const body = JSON.stringify({ begun: join(dir, 'begun'), until });
  for (; shard.hasRoom; handed++) hand(shard, 'm', { body, identity: `i-${handed}` });
  void worker?.terminate();
  assert.equal(await lost.promise, handed);
  assert.equal(shard.hasRoom, true);
  await next.promise;
});

test('what ended a thread is known although its error and its exit are told in one go', async (t) => {
  const threads: Worker[] = [];
  const note = (thread: Worker): void => void threads.push(thread);
  process.on('worker', note);
  t.after(() => process.off('worker', note));
  const lost = Promise.withResolvers<string>();
  const next = Promise.withResolvers<void>();
  const shard = await startShard(t, 'returns.ts', {
    lost: (_shard, { why }) => lost.resolve(why),
    ready: () => {
      if (threads.length > 1) next.resolve();
    },
  });
  for (let n = 0; n < BATCH; n++) hand(shard, 'm', {});
  // As Node does when the main thread was busy from the error to the exit: no microtask runs between the two.
  threads[0]?.emit('error', new Error('nobody listens'));
  threads[0]?.emit('exit', 1);
  assert.equal(await lost.promise, 'nobody listens');
  await next.promise;
});

test('a thread that stands ready before the exit of the one it replaces is told is not waited for', async (t) => {
  const threads: Worker[] = [];
  const second = Promise.withResolvers<Worker>();
  const note = (thread: Worker): void => {
    if (threads.push(thread) === 2) second.resolve(thread);
  };
  process.on('worker', note);
  t.after(() => process.off('worker', note));
  const warnings: string[] = [];
  const back = Promise.withResolvers<void>();
  await startShard(t, 'returns.ts', {
    ready: () => {
      if (threads.length > 1) back.resolve();
    },
    warn: (_fields, message) => warnings.push(message),
  });
  const first = threads[0] as Worker;
  const emit = first.emit.bind(first);
  const exited = Promise.withResolvers<() => void>();
  // A thread with much to clean up: its exit is told late.
  first.emit = (name: string, ...args: [never]) => {
    if (name !== 'exit') return emit(name, ...args);
    const listeners = first.listeners(name); // Node takes them off in the same turn
    exited.resolve(() => {
      for (const listener of listeners) listener.apply(first, args);
    });
    return true;
  };
  emit('error', new Error('nobody listens'));
  const replacement = await second.promise;
  await new Promise<void>((resolve) => {
    replacement.on('newListener', (name) => {
      if (name === 'exit') resolve(); // the shard's, which it adds when the thread stands ready
    });
  });
  const tellExit = await exited.promise;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  tellExit();
  await back.promise;
  t.mock.timers.tick(3_600_000);
  assert.deepEqual(warnings, []);
});
