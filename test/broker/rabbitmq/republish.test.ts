import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageProperties } from 'amqplib';
import { JsonCodec } from '../../../src/broker/codec/json.ts';
import { keptOf } from '../../../src/broker/rabbitmq/kept.ts';
import { type Republished, replayed, republish } from '../../../src/broker/rabbitmq/republish.ts';
import type { Delivery } from '../../../src/broker/source.ts';
import type { DeadLetter } from '../../../src/dead-letter.ts';
import type { Settlement } from '../../../src/outcome.ts';
import { delivery, HandClock, START, WALL } from '../../helpers/deliveries.ts';

type Elsewhere = Exclude<Settlement, { kind: 'ack' }>;

const RETRY: Elsewhere = { kind: 'retry', delayMs: 4000, attempt: 3, reason: 'reset', confirmFirst: true, crashes: 2 };
const DEAD: Elsewhere = { kind: 'dead-letter', reason: 'max-attempts', detail: 'after 6 attempts: reset' };
const PARK: Elsewhere = { kind: 'park', detail: 'may have been sent: reset' };
const DEFER = { kind: 'defer', delayMs: 1000, reason: 'shutting down', confirmFirst: true, returns: 0 } as Elsewhere;
const DEADLINE = WALL + 300_000;

const GIVEN = delivery({
  identity: 'mid',
  orderId: 'o-1',
  merchantId: 'pizza',
  attempt: 2,
  hop: 4,
  crashes: 1,
  confirmFirst: true,
  publishedAt: WALL - 1000,
});

function properties(fields: Partial<MessageProperties> = {}): MessageProperties {
  return { headers: {}, ...fields } as MessageProperties;
}

function republished(settlement: Elsewhere, given: Delivery = GIVEN, original = properties()): Republished {
  return republish('orders', given, keptOf(original), settlement, 'me', { wall: WALL, deadline: DEADLINE + 0.4 });
}

const FROZEN = {
  orderlane_identity: 'mid',
  orderlane_by: 'me',
  order_id: 'o-1',
  merchant_id: 'pizza',
  timestamp_in_ms: WALL - 1000,
  deadline: DEADLINE,
};

test('a retry goes to its rung as the next hop, with the attempt that comes, and what the next reader must know', () => {
  assert.deepEqual(republished(RETRY), {
    queue: 'orders.retry.4000',
    properties: {
      headers: {
        ...FROZEN,
        orderlane_hop: 5,
        orderlane_attempt: 3,
        orderlane_crashes: 2,
        orderlane_confirm_first: true,
        orderlane_reason: 'reset',
      },
    },
  });
});

test('a deferral goes to its rung as the next hop, and its attempt and crashes stay as they were', () => {
  assert.deepEqual(republished(DEFER), {
    queue: 'orders.retry.1000',
    properties: {
      headers: {
        ...FROZEN,
        orderlane_hop: 5,
        orderlane_attempt: 2,
        orderlane_crashes: 1,
        orderlane_confirm_first: true,
        orderlane_reason: 'shutting down',
      },
    },
  });
});

test('a dead letter and a parked order end where they are, with the reason and the time', () => {
  for (const [settlement, queue, reason, detail] of [
    [DEAD, 'orders.dead', 'max-attempts', 'after 6 attempts: reset'],
    [PARK, 'orders.ambiguous', 'ambiguous', 'may have been sent: reset'],
  ] as const) {
    assert.deepEqual(republished(settlement), {
      queue,
      properties: {
        headers: {
          ...FROZEN,
          orderlane_hop: 5, // moved back to the queue by hand it is a copy that nobody has settled
          orderlane_ends: 1,
          orderlane_attempt: 2,
          orderlane_reason: reason,
          orderlane_detail: detail,
          orderlane_ended_at: WALL,
        },
      },
    });
  }
});

test('every copy says that an earlier one may have arrived, wherever it goes, and so does what is made of that copy', () => {
  for (const settlement of [RETRY, DEFER, DEAD, PARK]) {
    const { headers } = republished({ ...settlement, possiblySent: true }).properties;
    assert.equal(headers['orderlane_possibly_sent'], true, settlement.kind);
    const later = republished(settlement, GIVEN, properties({ headers })).properties.headers;
    assert.equal(later['orderlane_possibly_sent'], true, settlement.kind);
    assert.equal('orderlane_possibly_sent' in republished(settlement).properties.headers, false, settlement.kind);
  }
});

test('a replay says that an earlier copy may have arrived, unless it was parked for somebody to decide about that', () => {
  const headers = { orderlane_possibly_sent: true, orderlane_confirm_first: false };
  const ofReason = (reason: string, isParked: boolean): Record<string, unknown> => {
    const letter = { identity: 'mid', hop: 5, reason } as DeadLetter;
    const of = { wall: WALL, deadline: DEADLINE, why: 'mended', isParked };
    return replayed('orders.dead', letter, properties({ headers }), 'dlq-1', of).headers as Record<string, unknown>;
  };
  for (const reason of ['max-attempts', 'expired', 'malformed', 'handler-error', 'thread-crash', 'ambiguous']) {
    assert.equal(ofReason(reason, false)['orderlane_possibly_sent'], true, reason);
  }
  for (const isParked of [false, true]) assert.equal(ofReason('ambiguous', isParked)['orderlane_confirm_first'], true);
  assert.equal('orderlane_possibly_sent' in ofReason('ambiguous', true), false);
});

test('of what cannot be read nothing is made up: no ID, time or deadline is written beside its own', () => {
  const given = delivery({ identity: 'mid', orderId: '', merchantId: '', malformed: 'the body is not JSON' });
  const { headers } = republished(DEAD, given, properties({ headers: { deadline: 'soon', x: 1 } })).properties;
  for (const name of ['order_id', 'merchant_id', 'timestamp_in_ms']) assert.equal(name in headers, false, name);
  assert.deepEqual([headers['deadline'], headers['x'], headers['orderlane_identity']], ['soon', 1, 'mid']);
});

test('not_before is written when the wait is longer than the rung, and does not outlive it', () => {
  const early = properties({ headers: { not_before: WALL - 5 } });
  assert.equal(
    republished({ ...RETRY, notBefore: WALL + 700_000.7 }, GIVEN, early).properties.headers['not_before'],
    WALL + 700_001,
  );
  for (const settlement of [RETRY, DEFER, DEAD, PARK]) {
    assert.equal('not_before' in republished(settlement, GIVEN, early).properties.headers, false, settlement.kind);
  }
});

test('the publisher’s own properties and headers stay, but for what would drop, copy or refuse the message', () => {
  const kept = {
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    correlationId: 'c',
    replyTo: 'r',
    messageId: 'mid',
    timestamp: 1_700_000_000,
    type: 'order.created',
    appId: 'shop',
    priority: 0,
  };
  const original = properties({
    ...kept,
    expiration: '1000',
    userId: 'guest',
    deliveryMode: 1,
    clusterId: 'c',
    headers: { CC: ['a'], BCC: ['b'], 'x-first-death-queue': 'q', tenant: 'eu', nested: { a: [1, null] } },
  });
  for (const settlement of [RETRY, DEFER, DEAD, PARK]) {
    const { headers, ...rest } = republished(settlement, GIVEN, original).properties;
    assert.deepEqual(rest, kept, settlement.kind);
    assert.partialDeepStrictEqual(headers, { tenant: 'eu', nested: { a: [1, null] }, 'x-first-death-queue': 'q' });
    assert.deepEqual(['CC' in headers, 'BCC' in headers], [false, false]);
  }
  assert.deepEqual(original.headers?.['CC'], ['a'], 'the original was changed');
});

test('a reason of any length fits a header', () => {
  for (const settlement of [
    { ...RETRY, reason: 'x'.repeat(100_000) },
    { ...DEFER, reason: 'x'.repeat(100_000) },
    { ...DEAD, detail: 'x'.repeat(100_000) },
    { ...PARK, detail: 'x'.repeat(100_000) },
  ] as Elsewhere[]) {
    for (const value of Object.values(republished(settlement).properties.headers))
      assert.ok(String(value).length <= 500);
  }
});

test('identity, publish time and deadline are the same for every reader of every hop, whatever its clock says', () => {
  const clock = new HandClock();
  const read = (content: Buffer, headers: Record<string, unknown>): Delivery => {
    const codec = new JsonCodec({
      merchantKey: '/merchant_id',
      orderIdKey: '/id',
      maxMessageBytes: 1000,
      deadlineMs: 600_000,
      instance: 'me',
      clock,
    });
    return delivery({ ...codec.decode({ content, properties: { headers } }) });
  };
  const body = Buffer.from('{"id":"o-1","merchant_id":"pizza"}');
  let copy = read(body, {});
  assert.equal(copy.deadlineAt, START + 600_000);
  for (let hop = 1; hop <= 3; hop++) {
    clock.pass(60_000);
    const deadline = clock.wall() + (copy.deadlineAt - clock.now());
    const times = { wall: clock.wall(), deadline };
    const { headers } = republish('orders', copy, keptOf(properties()), RETRY, 'me', times).properties;
    const next = read(body, headers as Record<string, unknown>);
    assert.deepEqual(
      [next.identity, next.publishedAt, next.deadlineAt, next.orderId, next.merchantId, next.hop, next.ours],
      [copy.identity, WALL, START + 600_000, 'o-1', 'pizza', hop, true],
    );
    copy = next;
  }
});
