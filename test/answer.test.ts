import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { answerOf, MAX_ANSWER_BYTES, returnedOf } from '../src/answer.ts';

const answer = (body: string | Buffer, headers = {}): string | undefined =>
  answerOf({ headers, rawBody: Buffer.from(body) });

/** As it is in an event's data. */
function data(members: string | undefined): Record<string, unknown> {
  return JSON.parse(`{${members}}`) as Record<string, unknown>;
}

test('an answer that is JSON stays JSON, as it was written', () => {
  assert.equal(answer('{ "order": 17.0 }'), '"answer":{ "order": 17.0 }');
  assert.deepEqual(data(answer('"P-17"')), { answer: 'P-17' });
  assert.deepEqual(data(answer('{"__proto__": {"a": 1}}'))['answer'], JSON.parse('{"__proto__": {"a": 1}}'));
});

test('an answer that is not JSON is text', () => {
  assert.deepEqual(data(answer('ok "17"\n')), { answer: 'ok "17"\n' });
  assert.deepEqual(data(answer('{"a":1},"outcome":"x"')), { answer: '{"a":1},"outcome":"x"' });
});

test('no answer is said of an empty body, and of one that was not read', () => {
  assert.equal(answer(''), undefined);
  assert.equal(answerOf({ headers: {} }), undefined);
});

test('a longer answer is cut between two characters, and says so', () => {
  assert.deepEqual(data(answer('a'.repeat(MAX_ANSWER_BYTES))), { answer: 'a'.repeat(MAX_ANSWER_BYTES) });
  assert.deepEqual(data(answer('a'.repeat(MAX_ANSWER_BYTES + 1))), {
    answer: 'a'.repeat(MAX_ANSWER_BYTES),
    answerCut: true,
  });
  for (const character of ['é', '注', '🍕']) {
    for (let before = 0; before < 4; before++) {
      const body = 'a'.repeat(before) + character.repeat(MAX_ANSWER_BYTES);
      const { answer: text, answerCut } = data(answer(body));
      assert.ok(body.startsWith(text as string) && answerCut === true, character);
      assert.ok(Buffer.byteLength(text as string) > MAX_ANSWER_BYTES - 4, character);
    }
  }
});

test('an answer that cannot be shown is left out, with the reason', () => {
  assert.deepEqual(data(answer(Buffer.from([0xff, 0xfe]))), { answerOmitted: 'it is not UTF-8 text' });
  assert.deepEqual(data(answer('x', { 'content-encoding': 'gzip' })), {
    answerOmitted: 'its content encoding is gzip',
  });
});

test('what a handler returns is JSON, and nothing is said of nothing', () => {
  assert.deepEqual(data(returnedOf({ posOrder: 17 })), { answer: { posOrder: 17 } });
  assert.deepEqual(data(returnedOf(null)), { answer: null });
  assert.equal(returnedOf(undefined), undefined);
});

test('what a handler returns and JSON cannot hold, or is too large, is left out with the reason', () => {
  for (const [value, why] of [
    [1n, /not JSON: .*BigInt/],
    [() => 1, /not JSON: a function/],
    [{ text: 'x'.repeat(MAX_ANSWER_BYTES) }, /4107 bytes of JSON, more than 4096/],
  ] as const) {
    assert.match(String(data(returnedOf(value))['answerOmitted']), why);
  }
});

test("a handler that returns got's response gives the merchant's answer", () => {
  const response = Object.assign(new IncomingMessage(new Socket()), { rawBody: Buffer.from('{"id":1}') });
  assert.deepEqual(data(returnedOf(response)), { answer: { id: 1 } });
});
