import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageProperties } from 'amqplib';
import { HEADER } from '../../src/broker/codec/headers.ts';
import { keptOf } from '../../src/broker/rabbitmq/kept.ts';
import type { Delivery } from '../../src/broker/source.ts';
import { republish } from '../../src/broker/rabbitmq/republish.ts';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { START, WALL } from '../helpers/deliveries.ts';
import { Rig } from './neighbours.ts';

const REFUSED = { kind: 'not-sent', reason: 'refused' } as const;

test('a redelivery of an order in flight joins it: one send, one acknowledgement, on the channel that lives', () => {
  const rig = new Rig();
  const given = rig.receive({ identity: 'a1' });
  rig.source.lose(rig.dispatcher);
  const again = rig.again(given);
  assert.equal(rig.handed(), 'a1');
  rig.end('a1');
  assert.deepEqual(
    rig.source.settled.map(({ delivery }) => delivery),
    [again],
  );
  assert.equal(rig.dispatcher.snapshot().joined, 1);
  rig.assertAtRest();
});

test('the same message published twice is sent once, and both copies are settled by its outcome', () => {
  for (const [outcome, settled] of [
    [{ kind: 'delivered' }, ['a1 ack', 'a1 ack']],
    [REFUSED, ['a1 retry 2', 'a1 ack']],
  ] as const) {
    const rig = new Rig();
    const given = rig.receive({ identity: 'a1' });
    rig.receive({ identity: 'a1', body: given.body });
    assert.equal(rig.handed(), 'a1');
    rig.end('a1', outcome);
    rig.source.confirm(rig.dispatcher);
    assert.deepEqual(rig.settled(), settled);
    rig.assertAtRest();
  }
});

test('a redelivery that comes while the end is being made durable is acknowledged when it is', () => {
  const rig = new Rig();
  const given = rig.receive({ identity: 'a1' });
  rig.end('a1', REFUSED);
  rig.source.lose(rig.dispatcher);
  const again = rig.again(given);
  assert.deepEqual(rig.settled(), ['a1 retry 2']);
  rig.source.confirm(rig.dispatcher);
  assert.equal(rig.source.settled.at(-1)?.delivery, again);
  assert.deepEqual(rig.settled(), ['a1 ack']);
  rig.assertAtRest();
});

test('of what comes again and again while its end cannot be made durable, only what can still be settled is kept', (t) => {
  const rig = new Rig();
  const given = rig.receive({ identity: 'a1' });
  const refused = rig.receive({ identity: 'a2', merchantId: 'nobody' });
  rig.end('a1', REFUSED);
  for (let n = 0; n < 100; n++) {
    rig.source.lose(rig.dispatcher);
    for (const each of [given, given, refused, refused]) rig.again(each);
  }
  const settle = t.mock.method(rig.source, 'settle');
  rig.source.confirm(rig.dispatcher);
  assert.equal(settle.mock.callCount(), 4);
  rig.assertAtRest();
});

test('a settlement whose channel is gone is applied to the redelivery, without a send', () => {
  for (const [outcome, settled] of [
    [{ kind: 'delivered' }, 'a1 ack'],
    [REFUSED, 'a1 retry 2'],
    [{ kind: 'rejected', reason: '422' }, 'a1 dead rejected'],
  ] as const) {
    const rig = new Rig();
    const given = rig.receive({ identity: 'a1' });
    rig.source.lose(rig.dispatcher);
    rig.end('a1', outcome);
    assert.deepEqual(rig.settled(), []);
    rig.again(given);
    assert.deepEqual(rig.settled(), [settled]);
    rig.source.confirm(rig.dispatcher);
    rig.assertAtRest();
    assert.equal(rig.handed(), 'a1');
  }
});

test('a late twin of a settled copy is acknowledged without a send', () => {
  for (const hop of [0, 1]) {
    const rig = new Rig();
    const given = rig.receive({ identity: 'a1', hop });
    rig.end('a1');
    rig.again(given);
    assert.equal(rig.handed(), 'a1');
    assert.deepEqual(rig.settled(), ['a1 ack', 'a1 ack']);
    assert.equal(rig.dispatcher.snapshot().joined, 1);
    rig.assertAtRest();
  }
});

test('what was refused has its end, even when it comes again before that is durable and could be sent by now', () => {
  for (const fields of [{ malformed: 'not JSON' }, { merchantId: 'sushi' }]) {
    const rig = new Rig();
    const given = rig.receive({ identity: 'a1', ...fields });
    rig.source.lose(rig.dispatcher);
    rig.have({ id: 'sushi' });
    rig.again(given);
    rig.source.confirm(rig.dispatcher);
    assert.equal(rig.handed(), '');
    assert.deepEqual(rig.settled(), ['a1 dead malformed', 'a1 ack']);
    rig.assertAtRest();
  }
});

test('two messages that share a message ID but not a body are both sent, and a warning says so', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1', body: '{"v":1}' });
  rig.receive({ identity: 'a1', body: '{"v":2}' });
  assert.equal(rig.handed(), 'a1 a1');
  assert.match(rig.warnings.join('\n'), /same message ID/);
  rig.end('a1 a1');
  rig.receive({ identity: 'a1', body: '{"v":3}' });
  rig.end('a1');
  assert.deepEqual(rig.settled(), ['a1 ack', 'a1 ack', 'a1 ack']);
  rig.assertAtRest();
});

test('a lost channel releases what waits, keeps what is in flight, and nothing of a newer channel', () => {
  const rig = new Rig({ concurrency: 1 });
  const first = rig.receive({ identity: 'a1' });
  const second = rig.receive({ identity: 'a2' });
  rig.source.lose(rig.dispatcher);
  const { inFlight, waiting } = rig.dispatcher.snapshot();
  assert.deepEqual([inFlight, waiting], [1, 0]);
  rig.again(second);
  rig.again(first);
  rig.receive({ identity: 'a3' });
  rig.dispatcher.lost(1); // told once more
  assert.equal(rig.dispatcher.snapshot().waiting, 2);
  rig.end('a1');
  rig.end('a2');
  rig.end('a3');
  assert.deepEqual(rig.settled(), ['a1 ack', 'a2 ack', 'a3 ack']);
  assert.equal(rig.handed(), 'a1 a2 a3');
  rig.assertAtRest();
});

test('a redelivery that nobody here knows may have been sent: the merchant’s policy decides', () => {
  for (const [duplicates, canConfirm, handed, settled] of [
    ['idempotent', true, 'a1', []],
    ['idempotent', false, 'a1', []],
    ['confirm', true, 'a1', []],
    ['confirm', false, '', ['a1 park']],
    ['never', true, '', ['a1 park']],
  ] as const) {
    const rig = new Rig({ canConfirm }, { duplicates });
    rig.receive({ identity: 'a1', redelivered: true });
    assert.equal(rig.handed(), handed, duplicates);
    assert.deepEqual(rig.settled(), settled, duplicates);
    if (handed === '') continue;
    assert.equal(rig.entry('a1').confirmFirst, duplicates === 'confirm');
  }
});

test('a redelivery that nobody here knows is not sent to a merchant that has forgotten its key', () => {
  const rig = new Rig({}, { keyWindowMs: 60_000 });
  rig.receive({ identity: 'a1', redelivered: true, publishedAt: WALL - 60_001 });
  assert.equal(rig.handed(), '');
  assert.deepEqual(rig.settled(), ['a1 park']);
});

test('an order that waited when its channel was lost was not sent, and is treated as new', () => {
  for (const duplicates of ['idempotent', 'never'] as const) {
    const rig = new Rig({ concurrency: 1 }, { duplicates });
    rig.receive({ identity: 'a1' });
    const waited = rig.receive({ identity: 'a2' });
    rig.source.lose(rig.dispatcher);
    rig.again(waited);
    rig.end('a1');
    assert.equal(rig.entry('a2').confirmFirst, false, duplicates);
  }
});

test('an order that waited when its channel was lost is asked for, where that is the policy: another process may have had it', () => {
  const rig = new Rig({ concurrency: 1, canConfirm: true }, { duplicates: 'confirm' });
  rig.receive({ identity: 'a1' });
  const waited = rig.receive({ identity: 'a2' });
  rig.source.lose(rig.dispatcher);
  rig.again(waited);
  rig.end('a1');
  assert.equal(rig.entry('a2').confirmFirst, true);
});

test('an order that must be asked for first is still to be when its channel was lost while it waited', () => {
  const rig = new Rig({ concurrency: 1 }, { duplicates: 'confirm' });
  rig.receive({ identity: 'a1' });
  const given = rig.receive({ identity: 'a2', redelivered: true }); // a process that died may have sent it
  rig.source.lose(rig.dispatcher);
  rig.again(given);
  rig.end('a1');
  assert.equal(rig.entry('a2').confirmFirst, true);
});

/** The copy that the last settlement has put on the ladder, as the next reader has it. */
function next(rig: Rig): Partial<Delivery> {
  const { delivery, settlement } = rig.source.settled.at(-1) as (typeof rig.source.settled)[number];
  assert.ok(settlement.kind === 'defer' || settlement.kind === 'retry');
  const times = { wall: WALL, deadline: WALL + 1 };
  const kept = keptOf({ headers: {} } as MessageProperties);
  const { headers } = republish('orders', delivery, kept, settlement, 'me', times).properties;
  return {
    ...delivery,
    hop: delivery.hop + 1,
    confirmFirst: headers[HEADER.confirmFirst] === true,
    possiblySent: headers[HEADER.possiblySent] === true,
    redelivered: false,
    cameBack: 0,
    notBeforeAt: 0,
  };
}

test('an order that must be asked for first is still to be when it comes back from a deferral', () => {
  const draining = new Rig({ concurrency: 1 }, { duplicates: 'confirm' });
  draining.receive({ identity: 'a1' });
  draining.receive({ identity: 'a2', redelivered: true });
  draining.dispatcher.drain();

  const early = new Rig({}, { duplicates: 'confirm' });
  early.receive({ identity: 'a2', redelivered: true, hop: 1, notBeforeAt: START + 5000 });
  for (const rig of [draining, early]) {
    const another = new Rig({}, { duplicates: 'confirm' });
    another.receive(next(rig));
    assert.equal(another.entry('a2').confirmFirst, true);
  }
});

test('what an attempt may have sent, and what somebody else may have, is known to every later copy', () => {
  const tried = new Rig();
  tried.receive({ identity: 'a1' });
  tried.end('a1', { kind: 'ambiguous', reason: 'reset' });
  const redelivered = new Rig();
  redelivered.receive({ identity: 'a1', redelivered: true, hop: 1, notBeforeAt: START + 5000 });
  const refused = new Rig({ maxAttempts: 1 });
  refused.receive({ identity: 'a1' });
  refused.end('a1', { kind: 'ambiguous', reason: 'reset' });
  assert.partialDeepStrictEqual(refused.lastSettlement(), { reason: 'max-attempts', possiblySent: true });
  const unknown = new Rig();
  unknown.receive({ identity: 'a1', merchantId: 'nobody', redelivered: true });
  assert.partialDeepStrictEqual(unknown.lastSettlement(), { reason: 'malformed', possiblySent: true });
  for (const rig of [tried, redelivered]) {
    const later = new Rig();
    later.receive(next(rig));
    later.end('a1', { kind: 'not-sent', reason: 'refused' });
    assert.equal(next(later).possiblySent, true);
  }
  const plain = new Rig();
  plain.receive({ identity: 'a1' });
  plain.end('a1', { kind: 'not-sent', reason: 'refused' });
  assert.equal(next(plain).possiblySent, false);
});

test('the policy of the moment decides about a copy of which an earlier one may have arrived', () => {
  for (const [duplicates, canConfirm, settled] of [
    ['idempotent', true, []],
    ['confirm', true, []],
    ['confirm', false, ['a1 park']],
    ['never', true, ['a1 park']],
  ] as const) {
    const rig = new Rig({ canConfirm }, { duplicates });
    rig.receive({ identity: 'a1', hop: 1, attempt: 2, possiblySent: true });
    assert.deepEqual(rig.settled(), settled, duplicates);
    if (settled.length === 0) assert.equal(rig.entry('a1').confirmFirst, duplicates === 'confirm');
  }
});

test('an order that waits for its turn until its merchant has forgotten its key, or has another policy, is not sent again', () => {
  for (const change of ['time', 'policy'] as const) {
    const rig = new Rig({ concurrency: 1 }, { keyWindowMs: 60_000 });
    rig.receive({ identity: 'a1' });
    rig.receive({ identity: 'a2', hop: 1, possiblySent: true });
    rig.receive({ identity: 'a3', hop: 1 });
    if (change === 'time') rig.clock.pass(60_000);
    else {
      rig.have({ duplicates: 'never' });
      rig.dispatcher.directoryChanged();
    }
    rig.end('a1');
    assert.deepEqual(rig.settled(), ['a1 ack', 'a2 park'], change);
    rig.end('a3');
    rig.source.confirm(rig.dispatcher);
    rig.assertAtRest();
  }
});

test('an order that was not sent goes back as it is only where its merchant will know its key as long as it lives', () => {
  for (const [keyWindowMs, settled] of [
    [600_000, []],
    [599_999, ['a2 defer']],
  ] as const) {
    const rig = new Rig({ concurrency: 1 }, { keyWindowMs });
    rig.receive({ identity: 'a1' });
    rig.receive({ identity: 'a2' });
    rig.dispatcher.drain();
    assert.deepEqual(rig.settled(), settled);
  }
});

test('an order that had its end and is published anew, in the same words, is retried as any other', () => {
  const rig = new Rig();
  const REJECTED: ThreadOutcome = { kind: 'rejected', status: 422, reason: 'HTTP 422' };
  const body = '{"id":1}';
  rig.receive({ identity: 'a1', hop: 1, attempt: 2, body });
  rig.end('a1', REJECTED);
  rig.source.confirm(rig.dispatcher);
  const publishedAt = WALL + 60_000;
  rig.receive({ identity: 'a1', publishedAt, body });
  rig.end('a1', { kind: 'throttled', reason: '429' });
  rig.source.confirm(rig.dispatcher);
  rig.clock.pass(60_000);
  rig.receive({ identity: 'a1', hop: 1, attempt: 2, publishedAt, body });
  assert.equal(rig.isInFlight('a1'), true);
});
