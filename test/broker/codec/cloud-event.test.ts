import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CloudEvent, cloudEvent } from '../../../src/broker/codec/cloud-event.ts';
import type { Delivery } from '../../../src/broker/source.ts';
import type { Outcome, OutcomeEvent, Settlement } from '../../../src/outcome.ts';
import { delivery, WALL } from '../../helpers/deliveries.ts';

type Told = Exclude<Settlement, { kind: 'defer' }>;
const ACK: Told = { kind: 'ack' };
const DELIVERED: Outcome = { kind: 'delivered', status: 201 };
const given = delivery({ identity: 'i-1', orderId: 'o-1' });

function event(fields: Partial<Delivery> = {}, settlement = ACK, told: Partial<OutcomeEvent> = {}): CloudEvent {
  const times = { receivedAt: WALL, startedAt: WALL + 5, endedAt: WALL + 12.6 };
  return cloudEvent('orders', { ...given, ...fields }, settlement, { outcome: DELIVERED, ...times, ...told });
}

/** The attributes that CloudEvents 1.0 requires are text and not empty, and all names are as it wants them. */
function assertCloudEvent(text: string): void {
  const attributes = JSON.parse(text) as Record<string, unknown>;
  for (const required of ['id', 'source', 'specversion', 'type']) {
    assert.ok(typeof attributes[required] === 'string' && attributes[required] !== '', required);
  }
  assert.equal(attributes['specversion'], '1.0');
  for (const [name, value] of Object.entries(attributes)) {
    assert.match(name, /^[a-z0-9]+$/);
    if (name === 'data') continue;
    assert.ok(typeof value === 'string' && value !== '', name);
    assert.doesNotMatch(value, /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u);
  }
  assert.ok(URL.canParse(String(attributes['source']), 'https://example.com'));
  assert.match(String(attributes['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
}

test('an event has the attributes of CloudEvents 1.0, whatever the IDs are', () => {
  assertCloudEvent(event().text);
  assertCloudEvent(event({ orderId: '' }).text);
  assertCloudEvent(event({ orderId: 'a\u0000b\ud800c\ufdd0', identity: '', merchantId: '\ud800' }).text);
  assertCloudEvent(cloudEvent('bestellung für/1', given, ACK, { outcome: DELIVERED, receivedAt: 0, endedAt: 1 }).text);
});

test('an answer is a member of the data, exactly as it came from the thread', () => {
  const { text } = event({}, ACK, { outcome: { ...DELIVERED, answer: '"answer":{"n":1.50},"answerCut":true' } });
  assert.ok(text.endsWith(',"status":201,"answer":{"n":1.50},"answerCut":true}}'));
  assert.deepEqual((JSON.parse(text) as { data: Record<string, unknown> }).data['answer'], { n: 1.5 });
});

test('the same end of the same message has the same ID, whenever, wherever and in whatever copy it is found', () => {
  const { id } = event();
  assert.match(id, /^[0-9a-f]{32}$/);
  const later = { receivedAt: WALL + 60_000, startedAt: WALL + 70_000, endedAt: WALL + 70_001 };
  const again = {
    hop: 3,
    returns: 2,
    epoch: 7,
    tag: 99,
    redelivered: true,
    deadlineAt: 5,
    crashes: 2,
    confirmFirst: true,
    ours: true,
  };
  assert.equal(
    event(again, ACK, { ...later, outcome: { kind: 'delivered', status: 200, answer: '"answer":1' } }).id,
    id,
  );
});

test('another message, attempt or end, and an end after it was moved back, has another ID', () => {
  const dead = (reason: 'max-attempts' | 'expired'): Told => ({ kind: 'dead-letter', reason, detail: 'why' });
  const [failed, notSent] = [{ kind: 'failed', reason: 'x' } as const, { kind: 'not-sent', reason: 'x' } as const];
  const ids = [
    event(),
    event({ identity: 'i-2' }),
    event({ ends: 1 }),
    event({ attempt: 2 }),
    event({ fingerprint: 1 }), // its publisher has reused the message ID
    event({}, { kind: 'park', detail: 'why' }, { outcome: failed }),
    event({}, dead('max-attempts'), { outcome: failed }),
    event({}, dead('expired'), { outcome: failed }),
    event({}, dead('expired'), { outcome: notSent }),
  ].map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

test('of a message that cannot be used, IDs of any length are cut', () => {
  const { text } = event({ orderId: 'o'.repeat(500_000), merchantId: 'm'.repeat(500_000) });
  assert.ok(text.length < 5000);
});

test('a retry is the end of an attempt alone', () => {
  const retry: Told = { kind: 'retry', delayMs: 4000, attempt: 2, reason: 'x', confirmFirst: false, crashes: 0 };
  const { type, text } = event({}, retry, { outcome: { kind: 'throttled', reason: 'HTTP 429', status: 429 } });
  const { data } = JSON.parse(text) as { data: Record<string, unknown> };
  assert.equal(type, 'orderlane.attempt.ended');
  assert.deepEqual(
    [data['outcome'], data['end'], data['reason'], data['retryInMs'], data['durationMs']],
    ['throttled', 'retried', 'HTTP 429', 4000, 8],
  );
});
