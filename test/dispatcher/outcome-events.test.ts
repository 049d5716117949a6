import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { WALL } from '../helpers/deliveries.ts';
import { Rig } from './neighbours.ts';

const THROTTLED: ThreadOutcome = { kind: 'throttled', reason: 'HTTP 429', status: 429 };
const REJECTED: ThreadOutcome = { kind: 'rejected', reason: 'HTTP 422', status: 422 };

/** What was settled, and whether that is to be told. */
function told(rig: Rig): string[] {
  return rig.source.settled.map(({ delivery, settlement: { kind, event } }) => {
    return `${delivery.identity} ${kind}${event === undefined ? '' : `: ${event.outcome.kind}`}`;
  });
}

function orders(outcomes: 'off' | 'final' | 'all'): Rig {
  const rig = new Rig({ outcomes });
  rig.receiveAll('pizza1 pizza2 pizza3');
  rig.end('pizza1');
  rig.end('pizza2', REJECTED);
  rig.end('pizza3', THROTTLED);
  rig.receive({ identity: 'bad', malformed: 'the body is not JSON' });
  rig.receive({ identity: 'later', notBeforeAt: rig.clock.now() + 5000 });
  return rig;
}

test('nothing is told unless somebody wants it', () => {
  assert.deepEqual(told(orders('off')), [
    'pizza1 ack',
    'pizza2 dead-letter',
    'pizza3 retry',
    'bad dead-letter',
    'later defer',
  ]);
});

test('every end is told, and an order that goes on is not', () => {
  assert.deepEqual(told(orders('final')), [
    'pizza1 ack: delivered',
    'pizza2 dead-letter: rejected',
    'pizza3 retry',
    'bad dead-letter: malformed',
    'later defer',
  ]);
});

test('with all, an attempt that another follows is told too; an order that was not tried is not', () => {
  assert.deepEqual(told(orders('all')), [
    'pizza1 ack: delivered',
    'pizza2 dead-letter: rejected',
    'pizza3 retry: throttled',
    'bad dead-letter: malformed',
    'later defer',
  ]);
});

test('an event says when its order came, was handed out and ended', () => {
  const rig = new Rig({ outcomes: 'final', concurrency: 1 });
  rig.receiveAll('pizza1 pizza2');
  rig.clock.pass(10);
  rig.end('pizza1');
  rig.clock.pass(20);
  rig.end('pizza2');
  const [, second] = rig.source.settled.map(({ settlement }) => settlement.event);
  const outcome = { kind: 'delivered', status: 200 };
  assert.deepEqual(second, { outcome, receivedAt: WALL, startedAt: WALL + 10, endedAt: WALL + 30 });
});

test('an order that was not tried has no start', () => {
  const rig = new Rig({ outcomes: 'final' }, { duplicates: 'never' });
  rig.receive({ identity: 'i', redelivered: true });
  const [settled] = rig.source.settled;
  assert.equal(settled?.settlement.kind, 'park');
  assert.equal(settled?.settlement.event?.startedAt, undefined);
});

test('an order is in hand until its event is confirmed, and a redelivery meanwhile is acknowledged with it, untold', () => {
  const rig = new Rig({ outcomes: 'final' });
  rig.source.announces = true;
  const first = rig.receive({ identity: 'i' });
  rig.end('i');
  assert.equal(rig.dispatcher.busy, 1);
  rig.source.lose(rig.dispatcher);
  rig.again(first);
  assert.deepEqual(told(rig), ['i ack: delivered']);
  rig.source.confirm(rig.dispatcher);
  assert.deepEqual(told(rig), ['i ack: delivered', 'i ack']);
  rig.assertAtRest();
  rig.source.lose(rig.dispatcher);
  rig.again(first);
  assert.deepEqual(told(rig).slice(2), ['i ack']);
});

test('a dead letter whose channel was gone is told when it comes again', () => {
  const rig = new Rig({ outcomes: 'final' });
  const first = rig.receive({ identity: 'i' });
  rig.source.lose(rig.dispatcher);
  rig.end('i', REJECTED); // stale
  rig.again(first);
  assert.deepEqual(told(rig), ['i dead-letter: rejected']);
  rig.source.confirm(rig.dispatcher);
  rig.assertAtRest();
});
