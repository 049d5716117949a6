import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '../../src/broker/source.ts';
import { Rig } from './neighbours.ts';

const REFUSED = { kind: 'not-sent', reason: 'refused' } as const;

/** A fresh copy of an order that has come back so often. */
const marked = (returns: number): Partial<Delivery> => ({ returns, hop: returns });

function pass(rig: Rig, ms: number): void {
  rig.clock.pass(ms);
  rig.dispatcher.tick();
}

test('an order that has come back twice runs like any other; one that has come back three times gets a fresh copy that says so', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1', redelivered: true, cameBack: 2 });
  rig.receive({ identity: 'a2', redelivered: true, cameBack: 3 });
  assert.equal(rig.handed(), 'a1');
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', delayMs: 1000, returns: 3 });
  assert.match(rig.warnings.join('\n'), /has come back 3 times: a process may have died of it/);
});

test('what a copy has come back counts on when the order is deferred for another reason, and not when it is retried', () => {
  const rig = new Rig({}, { paused: true });
  rig.receive({ identity: 'a1', redelivered: true, cameBack: 1, notBeforeAt: rig.clock.now() + 5000 });
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', returns: 1 });
  const again = new Rig();
  again.receive({ identity: 'a1', ...marked(3) });
  pass(again, 100);
  again.end('a1', REFUSED);
  assert.equal(again.lastSettlement()?.kind, 'retry');
  assert.ok(!('returns' in (again.lastSettlement() as object)));
});

test('however often the broker has had an order back, it is not condemned before it has run alone', () => {
  const rig = new Rig();
  rig.receive({ identity: 'a1', redelivered: true, cameBack: 25 });
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', returns: 3 });
});

test('a hundred suspicious orders run beside the others at once, and further ones come again later', () => {
  const rig = new Rig({ concurrency: 1000 }, { concurrency: 1000 });
  for (let n = 0; n < 101; n++) {
    rig.have({ id: `m${n}` });
    rig.receive({ identity: `s${n}`, merchantId: `m${n}`, ...marked(3) });
  }
  rig.receive({ identity: 'other' });
  pass(rig, 100);
  assert.equal(rig.handed(), 'other', 'what was sent away is not out of our hands');
  rig.source.confirm(rig.dispatcher);
  pass(rig, 0);
  assert.equal(rig.shards.inFlight.size, 101);
  assert.equal(rig.isInFlight('s100'), false);
  assert.equal(rig.isInFlight('other'), true);
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', returns: 3 });
  rig.end('s0');
  rig.receive({ identity: 'later', ...marked(3) });
  pass(rig, 100);
  assert.equal(rig.isInFlight('later'), true);
});

test('an order that was lost among few waits until nothing is in flight, and nothing starts beside it', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.receiveAll('a1 a2');
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  rig.receiveAll('a3');
  assert.equal(rig.handed(), 'a1 a2');
  rig.end('a1');
  pass(rig, 100);
  assert.equal(rig.handed(), '');
  rig.end('a2');
  assert.equal(rig.handed(), 'b1');
  rig.receive({ identity: 'b2', merchantId: 'b', ...marked(3) });
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', returns: 3 });
  rig.end('b1');
  assert.equal(rig.handed(), 'a3');
});

test('calls that hang keep a lone order waiting for one second, and one that hangs keeps the others for five', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.receiveAll('a1');
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  rig.receiveAll('a2');
  pass(rig, 999);
  assert.equal(rig.handed(), 'a1');
  pass(rig, 1);
  assert.equal(rig.handed(), 'b1');
  pass(rig, 4999);
  assert.equal(rig.handed(), '');
  pass(rig, 1);
  assert.equal(rig.handed(), 'a2');
});

test('a lone order whose merchant may not be called is deferred and holds nobody', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b', paused: true });
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  pass(rig, 100);
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', returns: 4 });
  rig.receiveAll('a1');
  assert.equal(rig.handed(), 'a1');
});

test('a lone order that may not start must be out of our hands before the next may', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b', paused: true });
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  pass(rig, 100);
  rig.receive({ identity: 'a1', merchantId: 'a', ...marked(4) });
  pass(rig, 100);
  assert.equal(rig.handed(), '', 'if the process died of a1, that would count against b1 as well');
  rig.source.confirm(rig.dispatcher);
  pass(rig, 0);
  assert.equal(rig.handed(), 'a1');
});

test('orders that run among few go on without a confirm, and a lone one does not', () => {
  const rig = new Rig();
  rig.receive({ identity: 'lone1', ...marked(4) });
  rig.receive({ identity: 'away', ...marked(4) }); // its confirm does not come
  pass(rig, 5000);
  rig.receive({ identity: 'few', ...marked(3) });
  pass(rig, 1000);
  rig.receive({ identity: 'lone2', ...marked(4) });
  pass(rig, 4000);
  assert.equal(
    rig.handed(),
    '',
    'if the process died of lone2, that would count against the one on its way out as well',
  );
  pass(rig, 1000);
  pass(rig, 0);
  assert.equal(rig.handed(), 'few');
});

test('an order to which --max-crashes processes were lost alone is dead-lettered, or parked where it may not be sent twice', () => {
  for (const [duplicates, canConfirm, end] of [
    ['idempotent', true, 'a1 dead process-crash'],
    ['confirm', true, 'a1 dead process-crash'],
    ['confirm', false, 'a1 park'],
    ['never', true, 'a1 park'],
  ] as const) {
    const rig = new Rig({ maxCrashes: 3, canConfirm }, { duplicates });
    rig.receive({ identity: 'a1', ...marked(6), redelivered: true, cameBack: 1 });
    assert.deepEqual(rig.settled(), [end], duplicates);
    assert.equal(rig.handed(), '');
  }
  const rig = new Rig({ maxCrashes: 3 });
  rig.receive({ identity: 'a1', ...marked(6), redelivered: true, cameBack: 1 });
  assert.partialDeepStrictEqual(rig.lastSettlement(), {
    detail: '3 processes ended while it ran alone, and it may have been sent',
  });
});

test('one or two losses may be a coincidence: three are needed whatever --max-crashes says, and more when it says so', () => {
  for (const [maxCrashes, returns, condemned] of [
    [1, 5, false],
    [1, 6, true],
    [5, 7, false],
    [5, 8, true],
  ] as const) {
    const rig = new Rig({ maxCrashes });
    rig.receive({ identity: 'a1', ...marked(returns), redelivered: true, cameBack: 1 });
    assert.equal(rig.lastSettlement()?.kind, condemned ? 'dead-letter' : 'defer', `${maxCrashes}, ${returns}`);
  }
});

test('a lone order does not start while another is on its way out, and goes with it when that takes too long', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  rig.receive({ identity: 'b2', merchantId: 'b', ...marked(4) });
  pass(rig, 4999);
  assert.equal(rig.handed(), '');
  pass(rig, 1);
  assert.deepEqual(rig.settled(), ['b2 defer', 'b1 defer']);
  rig.receiveAll('a1');
  assert.equal(rig.handed(), 'a1');
});

test('a suspicious order that comes with the end of its channel keeps no other waiting for ever', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  const { epoch } = rig.source;
  rig.source.lose(rig.dispatcher);
  rig.receive({ identity: 'a1', merchantId: 'a', redelivered: true, cameBack: 3, epoch });
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  pass(rig, 100);
  assert.equal(rig.handed(), 'b1');
});

test('a connection that is lost while the process lives counts against nobody', () => {
  const rig = new Rig({}, { id: 'a', paused: true });
  let given = rig.receive({ identity: 'a1', merchantId: 'a' });
  for (let cameBack = 1; cameBack < 5; cameBack++) {
    rig.source.lose(rig.dispatcher);
    given = rig.again(given, { cameBack });
  }
  assert.deepEqual(rig.settled(), []);
  const alone = new Rig({}, { id: 'a' }, { id: 'b' });
  alone.receiveAll('a1');
  const lone = alone.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  alone.source.lose(alone.dispatcher);
  alone.again(lone, { cameBack: 1 });
  pass(alone, 100);
  alone.end('a1');
  assert.equal(alone.handed(), 'a1 b1');
});

test('a drain lets a lone order that waits go as it is, with what is known of it', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.receiveAll('a1');
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(4) });
  rig.dispatcher.drain();
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', returns: 4 });
  rig.receive({ identity: 'b2', merchantId: 'b', ...marked(3) });
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', returns: 3 });
  rig.end('a1');
  rig.source.confirm(rig.dispatcher);
  rig.assertAtRest();
});

test('of the orders that are to run alone, those to which fewer processes were lost go first', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' }, { id: 'c' });
  rig.receiveAll('a1');
  rig.receive({ identity: 'b1', merchantId: 'b', ...marked(5) });
  rig.receive({ identity: 'c1', merchantId: 'c', ...marked(4) });
  assert.deepEqual(rig.settled(), ['b1 defer']);
  rig.receive({ identity: 'b2', merchantId: 'b', ...marked(5) });
  assert.deepEqual(rig.settled(), ['b2 defer']);
  rig.source.confirm(rig.dispatcher);
  rig.end('a1');
  pass(rig, 100);
  assert.equal(rig.handed(), 'a1 c1');
});

test('an order to which processes were lost alone is away for longer each time, so that another one is next', () => {
  const delays: number[] = [];
  for (let returns = 3; returns < 11; returns++) {
    const rig = new Rig({ maxCrashes: 100 });
    rig.receive({ identity: 'a1', ...marked(returns), redelivered: true, cameBack: 1 });
    const settlement = rig.lastSettlement();
    if (settlement?.kind === 'defer') delays.push(settlement.delayMs);
  }
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 16_000, 16_000, 16_000]);
});

test('graceful stops never make an order suspicious: what waits goes as a fresh copy before they could', () => {
  let fields: Partial<Delivery> = {};
  for (let stops = 0; stops < 10; stops++) {
    const rig = new Rig({}, { id: 'a', paused: true });
    const { cameBack = 0 } = fields;
    const given = rig.receive({ ...fields, identity: 'a1', merchantId: 'a', redelivered: cameBack > 0 });
    rig.dispatcher.drain();
    const settlement = rig.lastSettlement();
    // Without a settlement it goes back with the connection, and the broker counts that.
    if (settlement === undefined) fields = { ...fields, cameBack: cameBack + 1 };
    else if (settlement.kind === 'defer') {
      fields = { hop: given.hop + 1, returns: settlement.returns, cameBack: 0 };
    }
    assert.doesNotMatch(rig.warnings.join('\n'), /has come back/);
  }
  assert.partialDeepStrictEqual(fields, { returns: 2 });
  const known = new Rig({}, { id: 'a', paused: true });
  let given = known.receive({ identity: 'a1', merchantId: 'a' });
  for (const cameBack of [1, 2]) {
    known.source.lose(known.dispatcher);
    given = known.again(given, { cameBack });
  }
  known.dispatcher.drain();
  assert.partialDeepStrictEqual(known.lastSettlement(), { kind: 'defer', returns: 0 });
});

test('a lone order whose thread is lost before it is sent runs alone again, and is counted once', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.receive({ identity: 'a1', ...marked(4), merchantId: 'a' });
  pass(rig, 100);
  rig.loseThread({ handed: 'a1' });
  rig.receiveAll('b1');
  rig.threadIsBack();
  assert.equal(rig.handed(), 'a1');
  pass(rig, 100);
  assert.equal(
    rig.handed(),
    'a1',
    'b1 may be what the process dies of, or a1, and neither is to count against the other',
  );
  rig.end('a1');
  assert.equal(rig.handed(), 'b1');
  rig.end('b1');
  rig.receive({ identity: 'a3', ...marked(4), merchantId: 'a' });
  pass(rig, 100);
  assert.equal(rig.handed(), 'a3');
});

/** What the broker keeps of a message. */
interface Kept {
  readonly fields: Partial<Delivery> & { readonly identity: string };
  cameBack: number;
}

test('the order that kills its process is found among a full window, and every other one is delivered', () => {
  const [orders, merchants, maxCrashes] = [150, 10, 3];
  const directory = Array.from({ length: merchants }, (_, n) => ({ id: `m${n}` }));
  let queue: Kept[] = Array.from({ length: orders }, (_, n) => ({
    fields: { identity: n === 70 ? 'poison' : `o${n}`, merchantId: `m${n % merchants}`, body: `{"n":${n}}` },
    cameBack: 0,
  }));
  let ladder: { readonly until: number; readonly message: Kept }[] = [];
  const ends: string[] = [];
  let deaths = 0;
  for (; queue.length + ladder.length > 0; deaths++) {
    assert.ok(deaths <= 4 + maxCrashes, 'it is not found');
    // One life of a process: it ends when the poison runs, or nothing is left.
    const rig = new Rig({ concurrency: 1000, maxCrashes }, ...directory);
    const held = new Map<Delivery, Kept>();
    let [now, read] = [0, 0];
    while (!rig.isInFlight('poison') && queue.length + ladder.length + held.size > 0) {
      for (const message of queue.splice(0)) {
        const { fields, cameBack } = message;
        held.set(rig.receive({ ...fields, redelivered: cameBack > 0, cameBack }), message);
      }
      if (rig.isInFlight('poison')) break;
      for (const { delivery } of [...rig.shards.inFlight].slice(0, 20)) rig.end(delivery.identity);
      rig.source.confirm(rig.dispatcher);
      for (const { delivery, settlement } of rig.source.settled.slice(read)) {
        const { fields } = held.get(delivery) as Kept;
        held.delete(delivery);
        if (settlement.kind === 'defer') {
          const next = { ...fields, hop: delivery.hop + 1, returns: settlement.returns };
          ladder.push({ until: now + settlement.delayMs, message: { fields: next, cameBack: 0 } });
        } else if (settlement.kind === 'dead-letter') ends.push(`${delivery.identity} ${settlement.reason}`);
      }
      read = rig.source.settled.length;
      pass(rig, 50);
      now += 50;
      queue.push(...ladder.filter(({ until }) => until <= now).map(({ message }) => message));
      ladder = ladder.filter(({ until }) => until > now);
    }
    queue = [...held.values()].map(({ fields, cameBack }) => ({ fields, cameBack: cameBack + 1 }));
    ladder = ladder.map(({ message }) => ({ until: 0, message }));
    if (queue.length + ladder.length === 0) break;
  }
  assert.deepEqual(ends, ['poison process-crash']);
  assert.equal(deaths, 4 + maxCrashes);
});
