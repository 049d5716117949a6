import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOfAnswer } from '../../src/merchant/classify.ts';

test('each status has its outcome', () => {
  const kinds = (statuses: readonly number[]) => new Set(statuses.map((status) => outcomeOfAnswer(status, {}).kind));
  assert.deepEqual(kinds([200, 201, 202, 204, 299]), new Set(['delivered']));
  assert.deepEqual(kinds([300, 301, 304, 307, 308, 399]), new Set(['rejected']));
  assert.deepEqual(kinds([400, 401, 403, 404, 409, 410, 413, 422, 451, 499]), new Set(['rejected']));
  assert.deepEqual(kinds([425, 429, 503]), new Set(['throttled']));
  assert.deepEqual(kinds([408, 500, 502, 504, 507, 520, 599, 600, 999, 100]), new Set(['ambiguous']));
  assert.deepEqual(kinds([501, 505]), new Set(['rejected']));
});

test('a 409 with a Retry-After is a call in progress, not a refusal', () => {
  assert.deepEqual(outcomeOfAnswer(409, { 'retry-after': '2' }), {
    kind: 'throttled',
    reason: 'HTTP 409',
    status: 409,
    retryAfterMs: 2000,
  });
  assert.equal(outcomeOfAnswer(409, { 'retry-after': 'soon' }).kind, 'throttled');
});

test('Retry-After is read as seconds or as any of the three HTTP dates', () => {
  const date = 'Sun, 06 Nov 1994 08:49:37 GMT';
  for (const [value, expected] of [
    ['0', 0],
    ['120', 120_000],
    ['Sun, 06 Nov 1994 08:50:37 GMT', 60_000],
    ['Sunday, 06-Nov-94 08:50:37 GMT', 60_000],
    ['Sun Nov  6 08:50:37 1994', 60_000],
    ['Sun, 06 Nov 1994 08:00:00 GMT', 0],
    ['9999999999', 86_400_000],
    ['Fri, 31 Dec 2999 23:59:59 GMT', 86_400_000],
  ] as const) {
    const outcome = outcomeOfAnswer(429, { 'retry-after': value, date });
    assert.equal('retryAfterMs' in outcome ? outcome.retryAfterMs : 'none', expected, value);
  }
});

test('a date is read against our own clock when the server does not tell its', () => {
  const outcome = outcomeOfAnswer(503, { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() });
  assert.ok('retryAfterMs' in outcome && (outcome.retryAfterMs as number) > 3_500_000);
});

test('a Retry-After that cannot be read is as good as none', () => {
  for (const value of ['', '-5', '1.5', 'soon', '12345678901234', '2026-11-21', 'Sun, 99 Foo 1994 08:49:37 GMT']) {
    assert.deepEqual(
      outcomeOfAnswer(429, { 'retry-after': value }),
      { kind: 'throttled', reason: 'HTTP 429', status: 429 },
      value,
    );
  }
});
