import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../../src/dispatcher/outbox.ts';
import type { Entry } from '../../src/dispatcher/ledger.ts';
import { Lane } from '../../src/lane/lane.ts';
import { BREAKER, type Merchant } from '../../src/order.ts';
import { merchantOf } from '../merchant/stub.ts';

const HEADERS = { authorization: 'Bearer s3cret' };

function merchant(id: string, differs: Partial<Merchant> = {}): Merchant {
  return { ...merchantOf(`https://pos.example/${id}`), headers: HEADERS, id, ...differs };
}

/** Of one lane for each merchant object, in its first state. */
const lanes = new Map<Merchant, Lane<Entry>>();

function laneOf(of: Merchant): Lane<Entry> {
  const lane = lanes.get(of) ?? new Lane<Entry>(of, 0);
  lanes.set(of, lane);
  return lane;
}

function entryOf(of: Merchant): Entry {
  const delivery = {
    merchantId: of.id,
    orderId: 'o',
    identity: 'i',
    attempt: 1,
    deadlineAt: 0,
    publishedAt: 0,
    body: '{}',
  };
  return { delivery, lane: laneOf(of), confirmFirst: false } as unknown as Entry;
}

function told(outbox: Outbox, ...merchants: Merchant[]): unknown {
  for (const each of merchants) outbox.add(entryOf(each), 0, 0);
  return outbox.take().merchants;
}

test('a merchant goes to the thread once, and whole only when it has more of its own than ID and URL', () => {
  const outbox = new Outbox();
  const [a, b] = [merchant('a'), merchant('b')];
  const slow = merchant('slow', { timeoutMs: 30_000 });
  assert.deepEqual(told(outbox, a, b, a, b), [a, 'b', 'https://pos.example/b']);
  assert.deepEqual(told(outbox, a, merchant('c'), slow), ['c', 'https://pos.example/c', slow]);
  assert.deepEqual(told(outbox, merchant('d')), [merchant('d')], 'unlike the last whole one');
  assert.equal(told(outbox, a), undefined);
});

test('whatever differs besides makes a merchant go whole', () => {
  const differences: Partial<Merchant>[] = [
    { headers: { authorization: 'Bearer other' } },
    { timeoutMs: 1 },
    { concurrency: 1 },
    { ratePerSecond: 1 },
    { breaker: { ...BREAKER } },
    { paused: true },
    { weight: 7 },
    { duplicates: 'never' },
    { keyWindowMs: 1 },
  ];
  const fields = Object.keys({ ...merchant('a'), ratePerSecond: 1 }).filter((key) => key !== 'id' && key !== 'url');
  assert.deepEqual(differences.flatMap(Object.keys).sort(), fields.sort(), 'every field of a merchant is tried');
  for (const each of differences) {
    const other = merchant('b', each);
    assert.deepEqual(told(new Outbox(), merchant('a'), other), [merchant('a'), other]);
  }
  const { url, ...without } = merchant('b');
  assert.deepEqual(told(new Outbox(), merchant('a'), without), [merchant('a'), without], `no ${url}`);
  assert.deepEqual(told(new Outbox(), { ...without, id: 'x' }, { ...without }), [{ ...without, id: 'x' }, 'b', '']);
});

test('a merchant that the thread was told to forget goes to it again', () => {
  const outbox = new Outbox();
  const a = merchant('a');
  told(outbox, a);
  outbox.forget(laneOf(a));
  assert.deepEqual(outbox.take().forget, ['a']);
  assert.deepEqual(told(outbox, a), ['a', a.url]);
});

test('a new thread knows nothing', () => {
  const outbox = new Outbox();
  const [a, b] = [merchant('a'), merchant('b')];
  told(outbox, a);
  outbox.reset();
  assert.deepEqual(told(outbox, b, a), [b, 'a', a.url]);
});

test('a thread forgets the merchant of a lane that is gone, if it was told of it', () => {
  const outbox = new Outbox();
  const [a, b] = [merchant('a'), merchant('b')];
  told(outbox, a);
  outbox.forget(laneOf(a));
  outbox.forget(laneOf(b));
  assert.deepEqual(outbox.take().forget, ['a']);
  outbox.reset();
  outbox.forget(laneOf(a));
  assert.equal(outbox.take().forget, undefined, 'the new thread was not told');
});

test('a merchant whose entry has changed is told again', () => {
  const outbox = new Outbox();
  const a = merchant('a');
  told(outbox, a);
  const slower = merchant('a', { timeoutMs: 30_000 });
  const lane = laneOf(a);
  lane.merchant = slower;
  assert.deepEqual(told(outbox, a), [slower]);
  assert.equal(told(outbox, a), undefined);
});
