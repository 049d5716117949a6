import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Receipt, Receipts } from '../../src/sim/receipts.ts';

function receiptOf(receipts: Receipts, key: string): Receipt {
  return receipts.get(key) ?? assert.fail(`no receipt for ${key}`);
}

test('one send and one 2xx make a plain receipt', () => {
  const receipts = new Receipts();
  receipts.answered(receipts.sent('k', 'm', '1', 42, 1_699_999_999_000), 200, 1_700_000_000_000);
  assert.deepEqual(receiptOf(receipts, 'k'), {
    key: 'k',
    merchant: 'm',
    sends: 1,
    attempts: { 1: 1 },
    repeats: 0,
    afterAccepted: 0,
    duplicates: 0,
    answers: { 200: 1 },
    accepted: 1,
    lastSentAt: 1_699_999_999_000,
    acceptedAt: 1_700_000_000_000,
    bodyChanged: false,
    merchantChanged: false,
  });
  assert.deepEqual([receipts.size, receipts.accepted, receipts.duplicates], [1, 1, 0]);
});

test('a new attempt before acceptance is no duplicate, answered or not', () => {
  const receipts = new Receipts();
  receipts.answered(receipts.sent('k', 'm', '1', 0, 0), 500, 1);
  receipts.sent('k', 'm', '2', 0, 0);
  receipts.answered(receipts.sent('k', 'm', '3', 0, 0), 201, 3);
  const { sends, attempts, answers, accepted, acceptedAt, duplicates } = receiptOf(receipts, 'k');
  assert.deepEqual(
    { sends, attempts, answers },
    { sends: 3, attempts: { 1: 1, 2: 1, 3: 1 }, answers: { 201: 1, 500: 1 } },
  );
  assert.deepEqual({ accepted, acceptedAt, duplicates }, { accepted: 1, acceptedAt: 3, duplicates: 0 });
});

test('an attempt number that came before is a duplicate, in any place', () => {
  const receipts = new Receipts();
  for (const attempt of ['1', '2', '1']) receipts.sent('k', 'm', attempt, 0, 0);
  const { repeats, afterAccepted, duplicates } = receiptOf(receipts, 'k');
  assert.deepEqual({ repeats, afterAccepted, duplicates }, { repeats: 1, afterAccepted: 0, duplicates: 1 });
});

test('a second send without an attempt number is a duplicate', () => {
  const receipts = new Receipts();
  receipts.sent('k', 'm', '', 0, 0);
  receipts.sent('k', 'm', '', 0, 0);
  assert.deepEqual(receiptOf(receipts, 'k').attempts, { '': 2 });
  assert.equal(receipts.duplicates, 1);
});

test('a send after acceptance is a duplicate, once even if its attempt number is a repeat too', () => {
  const receipts = new Receipts();
  receipts.answered(receipts.sent('k', 'm', '1', 0, 0), 200, 5);
  receipts.answered(receipts.sent('k', 'm', '2', 0, 0), 200, 6);
  receipts.sent('k', 'm', '1', 0, 0);
  const { repeats, afterAccepted, duplicates, accepted, acceptedAt } = receiptOf(receipts, 'k');
  assert.deepEqual({ repeats, afterAccepted, duplicates }, { repeats: 1, afterAccepted: 2, duplicates: 2 });
  assert.deepEqual({ accepted, acceptedAt }, { accepted: 2, acceptedAt: 5 });
  assert.equal(receipts.accepted, 1, 'one message');
});

test('a body or a merchant that differs between sends is flagged, and stays so', () => {
  const receipts = new Receipts();
  receipts.sent('same', 'm', '1', 7, 0);
  receipts.sent('same', 'm', '2', 7, 0);
  for (const [attempt, body, merchant] of [
    ['1', 7, 'm'],
    ['2', 8, 'm'],
    ['3', 7, 'n'],
  ] as const) {
    receipts.sent('other', merchant, attempt, body, 0);
  }
  const { merchant, bodyChanged, merchantChanged } = receiptOf(receipts, 'other');
  assert.deepEqual(
    { merchant, bodyChanged, merchantChanged },
    { merchant: 'm', bodyChanged: true, merchantChanged: true },
  );
  assert.equal(receiptOf(receipts, 'same').bodyChanged, false);
  assert.equal(receiptOf(receipts, 'same').merchantChanged, false);
  assert.equal(receipts.bodyChanged, 1);
});

test('messages keep their receipts apart through growth', () => {
  const receipts = new Receipts();
  for (let i = 0; i < 5000; i++) {
    const message = receipts.sent(`k${i}`, `m${i % 7}`, '1', i, 0);
    if (i % 2 === 0) receipts.answered(message, 200, i + 1);
  }
  let i = 0;
  for (const { key, merchant, acceptedAt } of receipts) {
    assert.deepEqual([key, merchant, acceptedAt], [`k${i}`, `m${i % 7}`, i % 2 === 0 ? i + 1 : null]);
    i++;
  }
  assert.equal(i, 5000);
});

test('after a clear nothing is left, and answers from before touch nobody', () => {
  const receipts = new Receipts();
  const before = receipts.sent('k', 'm', '1', 7, 0);
  receipts.answered(receipts.sent('accepted', 'm', '1', 7, 0), 200, 1);
  receipts.sent('accepted', 'm', '1', 8, 0);
  receipts.clear();
  assert.deepEqual([receipts.size, receipts.accepted, receipts.duplicates, receipts.bodyChanged], [0, 0, 0, 0]);
  const after = receipts.sent('k2', 'n', '1', 9, 0);
  receipts.answered(before, 200, 2);
  assert.deepEqual(
    [...receipts].map(({ key, accepted, sends }) => ({ key, accepted, sends })),
    [{ key: 'k2', accepted: 0, sends: 1 }],
  );
  receipts.answered(after, 200, 3);
  assert.equal(receiptOf(receipts, 'k2').acceptedAt, 3);
});

test('the NDJSON chunks hold every receipt, those that come meanwhile too, and end at a clear', () => {
  const receipts = new Receipts();
  for (let i = 0; i < 2000; i++) receipts.sent(`k${i}`, 'm', '1', 0, 0);
  const chunks = receipts.chunks();
  let text = chunks.next().value ?? '';
  receipts.sent('late', 'm', '1', 0, 0);
  for (const chunk of chunks) text += chunk;
  const keys = text
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as Receipt).key);
  assert.equal(keys.length, 2001);
  assert.deepEqual([keys[0], keys[1999], keys[2000]], ['k0', 'k1999', 'late']);

  const cut = receipts.chunks();
  assert.equal(cut.next().done, false);
  receipts.clear();
  receipts.sent('new', 'm', '1', 0, 0);
  assert.equal(cut.next().done, true);
  assert.deepEqual([...new Receipts().chunks()], []);
});
