import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seeded } from '../../src/sim/random.ts';
import { START } from '../helpers/deliveries.ts';
import { DELIVERED, Rig } from './neighbours.ts';

const TIMED_OUT = { kind: 'ambiguous', reason: 'no complete answer in time' } as const;
const REFUSED = { kind: 'not-sent', reason: 'refused' } as const;

function names(merchant: string, count: number): string {
  return Array.from({ length: count }, (_, n) => `${merchant}${n + 1}`).join(' ');
}

function gateOf(rig: Rig, merchant: string): string | undefined {
  return rig.dispatcher.snapshot().slowest.find((row) => row.merchant === merchant)?.gate;
}

/** A merchant that has answered once, after 80 ms. */
function known(rig: Rig, merchant: string): void {
  rig.receiveAll(`${merchant}0`);
  rig.clock.pass(80);
  rig.end(`${merchant}0`);
}

/** It has answered quickly, and has come to take seconds. */
function slowedDown(rig: Rig, merchant: string): void {
  known(rig, merchant);
  for (let n = 1; n <= 3; n++) always(rig, merchant, 5_000);
}

function always(rig: Rig, merchant: string, tookMs: number): void {
  rig.receiveAll(`${merchant}0`);
  rig.clock.pass(tookMs);
  rig.end(`${merchant}0`);
}

/** One after the other. */
function refuse(rig: Rig, ...orders: readonly string[]): void {
  for (const order of orders) {
    rig.clock.pass(100);
    rig.end(order, REFUSED);
  }
}

test('merchants that hang take a quarter of the budget and no more, and others go on', () => {
  const rig = new Rig({ concurrency: 100 }, { id: 'h', concurrency: 20 }, { id: 'i', concurrency: 20 }, { id: 'ok' });
  known(rig, 'ok');
  rig.handed();
  rig.receiveAll(names('h', 25));
  rig.clock.pass(600);
  rig.dispatcher.tick();
  rig.receiveAll(names('i', 25));
  rig.clock.pass(600);
  rig.dispatcher.tick();
  assert.equal(rig.handed().split(' ').length, 20 + 20);
  rig.have({ id: 'h', concurrency: 30 });
  rig.dispatcher.directoryChanged();
  rig.receiveAll('h26 ok1');
  assert.equal(rig.handed(), 'ok1');
  assert.equal(gateOf(rig, 'h'), 'suspect');
  rig.end('h1', TIMED_OUT);
  rig.dispatcher.tick();
  assert.equal(rig.handed(), '', 'a suspect has room, and may not use it');
});

test('nobody takes the last of the budget', () => {
  const rig = new Rig({ concurrency: 20 }, { id: 'a' }, { id: 'b' });
  for (const merchant of ['a', 'b']) known(rig, merchant);
  rig.handed();
  rig.receiveAll(names('a', 30));
  assert.equal(rig.handed(), names('a', 10), 'half of it, when it is alone');
  assert.equal(gateOf(rig, 'a'), 'share');
  rig.receiveAll('b1');
  assert.equal(rig.handed(), 'b1');
  rig.end('a1 a2');
  assert.equal(rig.handed(), 'a11 a12', 'as many as are free then');
});

for (const [concurrency, merchantConcurrency] of [
  [4000, 50],
  [4000, 2000],
  [200, 50],
] as const) {
  test(`a merchant alone can have all of its ${merchantConcurrency} calls in flight of a budget of ${concurrency}`, () => {
    const rig = new Rig({ concurrency }, { id: 'a', concurrency: merchantConcurrency });
    rig.receiveAll(names('a', merchantConcurrency * 2));
    const inFlight: string[] = [];
    for (let at = 0; at < 20 * merchantConcurrency; at++) {
      inFlight.push(...rig.handed().split(' ').filter(Boolean));
      rig.clock.pass(100 / inFlight.length);
      const next = inFlight.shift() as string;
      rig.end(next);
      rig.receive({ identity: `more${at}`, merchantId: 'a' });
    }
    const { inFlight: most } = rig.dispatcher.snapshot();
    assert.ok(most >= 0.95 * merchantConcurrency, `${most} in flight`);
  });
}

test('merchants that contend for a budget share it by their weights', () => {
  const weights = { a: 1, b: 2, c: 5 };
  const rig = new Rig(
    { concurrency: 900, prefetch: 20_000 },
    ...Object.entries(weights).map(([id, weight]) => ({ id, weight, concurrency: 900 })),
  );
  for (const id of Object.keys(weights)) rig.receiveAll(names(id, 900));
  const random = seeded(1);
  const inFlight: string[] = [];
  const ended: Record<string, number> = { a: 0, b: 0, c: 0 };
  for (let at = 0; at < 20_000; at++) {
    inFlight.push(...rig.handed().split(' ').filter(Boolean));
    rig.clock.pass(1);
    if (at % 100 === 0) rig.dispatcher.tick();
    const [one] = inFlight.splice(Math.floor(random() * inFlight.length), 1) as [string];
    const id = one.charAt(0);
    if (at >= 10_000) ended[id] = (ended[id] ?? 0) + 1;
    rig.end(one);
    rig.receiveAll(`${id}${1000 + at}`);
  }
  const total = Object.values(ended).reduce((sum, count) => sum + count, 0);
  for (const [id, weight] of Object.entries(weights)) {
    const part = (ended[id] as number) / total;
    assert.ok(Math.abs(part / (weight / 8) - 1) <= 0.1, `${id} with weight ${weight} of 8 got ${part}`);
  }
});

test('hundreds of merchants that contend for a full budget share it by their weights', () => {
  const weights = [1, 2, 5];
  const merchants = Array.from({ length: 300 }, (_, n) => ({ id: `m${n}x`, weight: weights[n % 3] as number }));
  const rig = new Rig({ concurrency: 400, prefetch: 100_000 }, ...merchants);
  let made = 0;
  const more = (merchantId: string): unknown => rig.receive({ identity: `${merchantId} ${++made}`, merchantId });
  for (const { id } of merchants) for (let n = 0; n < 60; n++) more(id);
  const random = seeded(1);
  const inFlight: string[] = [];
  const ended = new Map(weights.map((weight) => [weight, 0]));
  let fewest = Number.POSITIVE_INFINITY;
  for (let at = 0; at < 20_000; at++) {
    inFlight.push(...rig.shards.handed.splice(0).map(({ delivery }) => delivery.identity));
    rig.clock.pass(0.25);
    if (at % 400 === 0) rig.dispatcher.tick();
    const place = Math.floor(random() * inFlight.length);
    const one = inFlight[place] as string;
    inFlight[place] = inFlight.at(-1) as string;
    inFlight.pop();
    const entry = rig.entry(one);
    const { lane } = entry;
    if (at >= 5_000) {
      ended.set(lane.merchant.weight, (ended.get(lane.merchant.weight) as number) + 1);
      fewest = Math.min(fewest, inFlight.length);
    }
    rig.shards.inFlight.delete(entry);
    rig.dispatcher.outcome(entry, DELIVERED);
    rig.dispatcher.turn();
    more(lane.merchantId);
  }
  assert.equal(fewest, 399, 'the budget was full');
  for (const [weight, count] of ended) {
    const part = count / 15_000 / (weight / 8);
    assert.ok(Math.abs(part - 1) <= 0.1, `those of weight ${weight} got ${part} of what is theirs`);
  }
});

test('merchants that answer after seconds leave half of the budget to those that answer at once', () => {
  const rig = new Rig({ concurrency: 20 }, { id: 's' }, { id: 't' }, { id: 'ok' });
  for (let n = 1; n <= 20; n++) known(rig, 'ok');
  for (const merchant of ['s', 't']) slowedDown(rig, merchant);
  rig.handed();
  rig.receiveAll(`${names('s', 9)} ${names('t', 9)}`);
  assert.equal(rig.handed().split(' ').length, 10);
  assert.equal(gateOf(rig, 't'), 'slow');
  rig.receiveAll('ok1 ok2');
  assert.equal(rig.handed(), 'ok1 ok2');
  rig.end('s1');
  rig.dispatcher.tick();
  assert.equal(rig.handed().split(' ').length, 1);
});

test('one that has always taken as long has what they leave, but for the last tenth', () => {
  const rig = new Rig({ concurrency: 20 }, { id: 's' }, { id: 't' }, { id: 'a' }, { id: 'ok' }, { id: 'p' });
  for (let n = 1; n <= 20; n++) known(rig, 'ok');
  for (const merchant of ['s', 't']) slowedDown(rig, merchant);
  always(rig, 'a', 2_000);
  for (let n = 1; n <= 20; n++) known(rig, 'ok');
  known(rig, 'p');
  rig.handed();
  rig.receiveAll(`${names('s', 9)} ${names('t', 9)}`);
  assert.equal(rig.handed().split(' ').length, 10, 'half of the budget');
  rig.receiveAll(names('a', 3));
  assert.equal(rig.handed(), 'a1 a2 a3');
  rig.receiveAll(`${names('ok', 4)} p1`);
  assert.equal(rig.handed().split(' ').length, 5, '18 of 20');
  rig.receiveAll('a4');
  assert.deepEqual([rig.handed(), gateOf(rig, 'a')], ['', 'slow']);
});

test('one that takes long for some of its calls only does not wait with them', () => {
  const rig = new Rig({ concurrency: 20 }, { id: 's' }, { id: 't' }, { id: 'b' }, { id: 'ok' });
  for (let n = 1; n <= 20; n++) known(rig, 'ok');
  for (const merchant of ['s', 't']) slowedDown(rig, merchant);
  for (const tookMs of [100, 100, 5_000, 5_000, 5_000, 100]) always(rig, 'b', tookMs);
  for (let n = 1; n <= 20; n++) known(rig, 'ok');
  rig.handed();
  rig.receiveAll(`${names('s', 9)} ${names('t', 9)}`);
  assert.equal(rig.handed().split(' ').length, 10, 'half of the budget');
  rig.receiveAll(names('b', 3));
  assert.equal(rig.handed(), 'b1 b2 b3', 'its last answer was quick');
});

test('among merchants that answer after seconds, those that wait come before those that have had their turn', () => {
  const rig = new Rig({ concurrency: 20 }, { id: 's' }, { id: 't' }, { id: 'u' }, { id: 'ok' });
  for (let n = 1; n <= 20; n++) known(rig, 'ok');
  for (const merchant of ['s', 't', 'u']) slowedDown(rig, merchant);
  rig.handed();
  rig.receiveAll(names('s', 60));
  assert.equal(rig.handed().split(' ').length, 10, 'half of the budget');
  rig.receiveAll('t1 u1 t2');
  rig.dispatcher.tick();
  assert.deepEqual([rig.handed(), gateOf(rig, 't'), gateOf(rig, 'u')], ['', 'slow', 'slow']);
  const turns: string[] = [];
  for (let n = 1; n <= 5; n++) {
    rig.clock.pass(500);
    rig.end(`s${n}`);
    turns.push(rig.handed());
    rig.dispatcher.tick();
    assert.equal(rig.handed(), '');
  }
  assert.deepEqual(turns, ['s11', 't1', 'u1', 's12', 't2']);
});

test('that merchants like it hold half of the budget is said, and so is what would help', () => {
  const rig = new Rig({ concurrency: 20 }, { id: 's' }, { id: 'ok' });
  for (let n = 1; n <= 20; n++) known(rig, 'ok');
  slowedDown(rig, 's');
  rig.receiveAll(names('s', 60));
  rig.dispatcher.tick();
  rig.clock.pass(5000);
  rig.dispatcher.tick();
  const words = /50 orders wait because merchants that take many times what is usual .* 20 calls of --concurrency/;
  assert.match(rig.dispatcher.snapshot().pressure ?? '', words);
  assert.match(rig.warnings.at(-1) ?? '', words);
});

test('a merchant that refuses all at once makes nobody seem slow beside it', () => {
  const rig = new Rig({ concurrency: 20 }, { id: 'no' }, { id: 'ok' });
  for (let n = 1; n <= 50; n++) {
    rig.receiveAll(`no${n}`);
    rig.clock.pass(5);
    rig.end(`no${n}`, { kind: 'rejected', reason: 'HTTP 401', status: 401 });
    rig.receiveAll(`ok${n}`);
    rig.clock.pass(600);
    rig.end(`ok${n}`);
  }
  rig.handed();
  rig.receiveAll(names('ok', 20));
  assert.equal(rig.handed().split(' ').length, 10);
  assert.equal(gateOf(rig, 'ok'), 'share');
});

test('a merchant that refuses is left alone, probed once, and served again when it answers', () => {
  const rig = new Rig({}, { id: 'a' });
  rig.receiveAll('a1 a2');
  refuse(rig, 'a1', 'a2');
  rig.handed();
  rig.receiveAll('a3 a4 a5');
  assert.equal(rig.handed(), '');
  assert.equal(gateOf(rig, 'a'), 'breaker');
  rig.clock.pass(5000);
  rig.dispatcher.tick();
  assert.equal(rig.handed(), 'a3');
  rig.dispatcher.tick();
  assert.equal(rig.handed(), '', 'one probe, exactly');
  rig.end('a3');
  assert.equal(rig.handed(), 'a4 a5');
});

test('a merchant that has too many is held as a whole for as long as it asks', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.receiveAll('a1 a2');
  rig.handed();
  rig.end('a1', { kind: 'throttled', reason: '429', retryAfterMs: 3000 });
  rig.receiveAll('a3 b1');
  assert.equal(rig.handed(), 'b1');
  assert.equal(gateOf(rig, 'a'), 'hold');
  rig.end('a2');
  assert.equal(rig.handed(), '', 'an answer to an earlier call does not end it');
  rig.clock.pass(3000);
  rig.dispatcher.tick();
  assert.equal(rig.handed(), 'a3');
});

test('a rate is kept to, and a paused merchant gets nothing until the directory says so', () => {
  const rig = new Rig({}, { id: 'a', ratePerSecond: 2 }, { id: 'p', paused: true });
  rig.receiveAll('a1 a2 a3 p1');
  assert.equal(rig.handed(), 'a1 a2');
  assert.deepEqual([gateOf(rig, 'a'), gateOf(rig, 'p')], ['rate', 'pause']);
  rig.clock.pass(500);
  rig.dispatcher.tick();
  assert.equal(rig.handed(), 'a3');
  rig.have({ id: 'p' });
  rig.dispatcher.directoryChanged();
  assert.equal(rig.handed(), 'p1');
});

test('what a merchant may not keep in the window is deferred, its attempt uncounted, behind those that wait and are out', () => {
  const rig = new Rig({ prefetch: 100 }, { id: 'a', concurrency: 1 });
  known(rig, 'a');
  rig.handed();
  for (const name of names('a', 120).split(' ')) {
    rig.receiveAll(name);
    rig.source.confirm(rig.dispatcher);
  }
  const { waiting, deferred, inFlight } = rig.dispatcher.snapshot();
  assert.deepEqual([inFlight, waiting, deferred], [1, 79, 40], 'four fifths of the window: four times what is free');
  const delays = rig.source.settled.flatMap(({ settlement }) =>
    settlement.kind === 'defer' ? [settlement.delayMs] : [],
  );
  // One call of 80 ms after the other, 79 before it: 6.3 s, and the rung above.
  assert.deepEqual([delays[0], delays[39]], [8000, 8000]);
});

test('a tenth of the window is kept for deferrals that are not confirmed: when it is full, orders wait here', () => {
  const rig = new Rig({ prefetch: 100 }, { id: 'a', concurrency: 1 });
  known(rig, 'a');
  rig.receiveAll(names('a', 120));
  const { waiting, deferred } = rig.dispatcher.snapshot();
  assert.deepEqual([waiting, deferred], [109, 10]);
});

test('while the broker takes no messages nothing is deferred: orders wait here, and go back when it takes them again', () => {
  const rig = new Rig({ prefetch: 100 }, { id: 'a', paused: true });
  rig.source.isBlocked = true;
  rig.receiveAll(names('a', 90));
  rig.dispatcher.sweep();
  assert.deepEqual([rig.dispatcher.snapshot().waiting, rig.dispatcher.snapshot().deferred], [90, 0]);
  rig.source.isBlocked = false;
  rig.dispatcher.sweep();
  assert.deepEqual([rig.dispatcher.snapshot().waiting, rig.dispatcher.snapshot().deferred], [80, 10]);
});

test('a merchant that must not get duplicates holds few: all of them may have been sent when the process dies', () => {
  const rig = new Rig({}, { id: 'n', concurrency: 3, duplicates: 'never' });
  rig.receiveAll(names('n', 20));
  const { waiting, inFlight } = rig.dispatcher.snapshot();
  assert.deepEqual([inFlight, waiting], [3, 3]);
});

test('orders of a merchant that does not answer are sent away for longer with each hop, and not past their deadline', () => {
  const rig = new Rig({ prefetch: 10 }, { id: 'a' });
  rig.receiveAll('a1 a2');
  refuse(rig, 'a1', 'a2');
  rig.source.confirm(rig.dispatcher);
  rig.random = 0;
  const delays: number[] = [];
  rig.receiveAll('a3 a4 a5 a6 a7');
  for (const hop of [0, 1, 2, 3, 4]) {
    rig.receive({ identity: `late-${hop}`, merchantId: 'a', hop });
    rig.source.confirm(rig.dispatcher);
    const settlement = rig.lastSettlement();
    if (settlement?.kind === 'defer') delays.push(settlement.delayMs);
  }
  assert.deepEqual(delays, [8000, 16_000, 32_000, 64_000, 64_000]);
  rig.receive({ identity: 'short', merchantId: 'a', deadlineAt: START + 3000 });
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer', delayMs: 2000 });
});

test('orders that wait for a merchant that stands still expire at their deadlines, not when their turn comes', () => {
  const rig = new Rig({}, { id: 'a' });
  rig.receiveAll('a1 a2');
  refuse(rig, 'a1', 'a2');
  rig.receive({ identity: 'a3', merchantId: 'a', deadlineAt: START + 1000 });
  rig.dispatcher.tick();
  rig.clock.pass(1000);
  rig.dispatcher.sweep();
  assert.equal(rig.settled().at(-1), 'a3 dead expired');
  assert.equal(rig.dispatcher.snapshot().waiting, 0);
});

test('of many orders that may wait no longer a hundred leave in each tick, and the others of all lanes after them', () => {
  const rig = new Rig({}, { id: 'p', paused: true }, { id: 'q', paused: true });
  const deadlineAt = START + 1000;
  for (let n = 0; n < 250; n++) rig.receive({ identity: `p${n}`, merchantId: 'p', deadlineAt });
  rig.receive({ identity: 'q0', merchantId: 'q', deadlineAt });
  rig.clock.pass(1000);
  const left: number[] = [];
  const step = (): unknown => left.push(rig.dispatcher.snapshot().waiting);
  rig.dispatcher.sweep();
  step();
  for (let n = 0; n < 3; n++) {
    rig.dispatcher.tick();
    step();
  }
  assert.deepEqual(left, [151, 51, 0, 0]);
  const dead = [...Array.from({ length: 250 }, (_, n) => `p${n}`), 'q0'];
  assert.deepEqual(
    rig.settled(),
    dead.map((name) => `${name} dead expired`),
  );
});

test('of what a merchant may not keep any more a hundred orders leave in each tick, the last first', () => {
  const rig = new Rig({ prefetch: 10_000 }, { id: 'a', paused: true });
  rig.source.isBlocked = true;
  rig.receiveAll(names('a', 4_800));
  rig.source.isBlocked = false;
  const left: number[] = [];
  rig.dispatcher.sweep();
  for (let n = 0; n < 5; n++) {
    left.push(rig.dispatcher.snapshot().waiting);
    rig.source.confirm(rig.dispatcher);
    rig.dispatcher.tick();
  }
  assert.deepEqual(left, [4_700, 4_600, 4_500, 4_500, 4_500], 'as many as nine tenths of the window leave free');
  assert.equal(rig.settled()[0], 'a4701 defer');
});

test('an order that is past its deadline when it comes does not wait for the end of its merchant’s pause', () => {
  const rig = new Rig({}, { id: 'a', paused: true });
  rig.receive({ identity: 'a1', merchantId: 'a', deadlineAt: START });
  assert.deepEqual(rig.settled(), ['a1 dead expired']);
  assert.equal(rig.dispatcher.snapshot().waiting, 0);
});

test('an order that has waited for long is given back and comes again, before the broker takes the channel for dead', () => {
  const rig = new Rig({}, { id: 'a', paused: true });
  rig.receive({ identity: 'a1', merchantId: 'a', deadlineAt: START + 10 * 3600_000 });
  rig.dispatcher.tick();
  rig.clock.pass(20 * 60_000 - 1);
  rig.dispatcher.sweep();
  assert.equal(rig.source.settled.length, 0);
  rig.clock.pass(1);
  rig.dispatcher.sweep();
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer' });
});

test('one whose merchant may take a quarter of an hour is given back in time for that', () => {
  const rig = new Rig({}, { id: 'a', paused: true, timeoutMs: 15 * 60_000 });
  rig.receive({ identity: 'a1', merchantId: 'a', deadlineAt: START + 10 * 3600_000 });
  rig.clock.pass(13 * 60_000 - 1);
  rig.dispatcher.sweep();
  assert.equal(rig.source.settled.length, 0);
  rig.clock.pass(1);
  rig.dispatcher.sweep();
  assert.partialDeepStrictEqual(rig.lastSettlement(), { kind: 'defer' });
});

test('a lane is kept while orders of its are on the ladder, and let go when they must have come back', () => {
  const rig = new Rig({}, { id: 'a' });
  rig.receiveAll('a1');
  rig.end('a1', REFUSED);
  rig.source.confirm(rig.dispatcher);
  assert.equal(rig.dispatcher.snapshot().slowest[0]?.out, 1);
  rig.clock.pass(60_000);
  rig.dispatcher.sweep(); // finds that it must have come back, perhaps to another process
  rig.dispatcher.sweep();
  assert.equal(rig.dispatcher.snapshot().merchants, 0);
});

test('what a merchant left behind while it stood still does not delay the others when there is not room for all', () => {
  const rig = new Rig({ concurrency: 40 }, { id: 'p', paused: true }, { id: 'x', concurrency: 20 }, { id: 'a' });
  rig.receiveAll(names('p', 3));
  rig.shards.behind.add(0);
  rig.receiveAll(`${names('x', 9)} a1`);
  rig.have({ id: 'p' });
  rig.dispatcher.directoryChanged();
  const start = (count: number): string => {
    rig.shards.hands = count;
    rig.shards.behind.clear();
    rig.dispatcher.turn();
    return rig.handed();
  };
  assert.equal(start(8), 'x1 a1 x2 p1 x3 x4 x5 p2');
  assert.equal(start(2), 'x6 x7');
  assert.equal(start(4), 'x8 p3 x9');
  rig.receiveAll('p4');
  assert.equal(rig.handed(), 'p4');
});

test('that the budget is too small is logged in words and shown', () => {
  const rig = new Rig({ concurrency: 4 }, { id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd' }, { id: 'e' });
  rig.receiveAll('a1 b1 c1 d1 e1');
  for (let i = 0; i < 60; i++) {
    rig.clock.pass(100);
    rig.dispatcher.tick();
  }
  assert.equal(rig.warnings.length, 1);
  assert.match(rig.dispatcher.snapshot().pressure ?? '', /larger --concurrency/);
  assert.equal(gateOf(rig, 'e'), 'budget');
  rig.end('a1', DELIVERED);
  rig.clock.pass(500);
  rig.dispatcher.tick();
  assert.equal(rig.dispatcher.snapshot().pressure, undefined);
});

test('a merchant that asks for two minutes gets no call for two minutes, and others theirs', () => {
  const rig = new Rig({}, { id: 'a' }, { id: 'b' });
  rig.receiveAll('a1');
  rig.handed();
  rig.end('a1', { kind: 'throttled', reason: '429', retryAfterMs: 120_000 });
  const after: string[] = [];
  for (let at = 100; at <= 120_000; at += 100) {
    rig.clock.pass(100);
    if (at % 1000 === 0) rig.receiveAll(`b${at} a${at}`);
    rig.dispatcher.tick();
    after.push(...rig.handed().split(' ').filter(Boolean));
    for (const name of after.filter((each) => each.startsWith('b') && rig.isInFlight(each))) rig.end(name);
    if (at === 119_900) assert.deepEqual([after.length, after.some((name) => name.startsWith('a'))], [119, false]);
  }
  assert.ok(after.some((name) => name.startsWith('a')));
});

for (const [why, fields] of [
  ['paused', { paused: true }],
  ['allowed one a second', { ratePerSecond: 1 }],
] as const) {
  test(`merchants that are ${why} leave the others room in the window`, () => {
    const still = Array.from({ length: 300 }, (_, n) => ({ id: `still-${n}-`, ...fields }));
    const rig = new Rig({ prefetch: 100, concurrency: 1000 }, { id: 'ok' }, ...still);
    for (const { id } of still) {
      rig.receiveAll(`${id}1 ${id}2`);
      rig.source.confirm(rig.dispatcher);
    }
    assert.ok(rig.dispatcher.snapshot().waiting <= 90);
    rig.handed();
    rig.receiveAll('ok1');
    assert.equal(rig.handed(), 'ok1');
  });
}

test('a merchant that comes to stand still with much of the window gives it up', () => {
  const rig = new Rig({ prefetch: 1000 }, { id: 'a', concurrency: 10 });
  known(rig, 'a');
  rig.receiveAll(names('a', 700));
  assert.equal(rig.dispatcher.snapshot().waiting, 690);
  rig.clock.pass(5_000);
  rig.dispatcher.tick();
  for (let i = 0; i < 10; i++) {
    rig.dispatcher.sweep();
    rig.source.confirm(rig.dispatcher);
    rig.clock.pass(5_000);
  }
  const { waiting, deferred, unsettled } = rig.dispatcher.snapshot();
  assert.equal(
    waiting,
    390,
    'with the 10 in flight less than half of the 900 that such may fill, and as many as are free beside it: it leaves by the hundred',
  );
  assert.equal(waiting + deferred, 690);
  assert.equal(unsettled, waiting + 10);
  assert.equal(rig.entry('a10').delivery.identity, 'a10');
});

test('a call that its order’s deadline cut short says nothing of the merchant', () => {
  const rig = new Rig({}, { id: 'a' });
  known(rig, 'a');
  for (const name of ['a1', 'a2', 'a3']) {
    rig.receive({ identity: name, merchantId: 'a', deadlineAt: rig.clock.now() + 20 });
    rig.clock.pass(200);
    rig.end(name, TIMED_OUT);
  }
  rig.handed();
  rig.receiveAll('a4');
  assert.equal(rig.handed(), 'a4', 'its breaker is closed');
});

test('calls that their orders’ deadlines cut open the breaker of a merchant that had long been due to answer', () => {
  const rig = new Rig({}, { id: 'a' });
  known(rig, 'a');
  for (const name of ['a1', 'a2']) {
    rig.receive({ identity: name, merchantId: 'a', deadlineAt: rig.clock.now() + 4000 });
    rig.clock.pass(4000);
    rig.dispatcher.tick();
    rig.end(name, TIMED_OUT);
  }
  rig.handed();
  rig.receiveAll('a3');
  assert.equal(rig.handed(), '', 'its breaker is open');
});

test('a merchant with a rate is let go as any other when it has nothing to do', () => {
  const rig = new Rig({}, { id: 'a', ratePerSecond: 5 });
  known(rig, 'a');
  rig.clock.pass(60_000);
  rig.dispatcher.sweep();
  assert.equal(rig.dispatcher.snapshot().merchants, 0);
});

test('a merchant that asked to be left alone is not forgotten before that is over', () => {
  const rig = new Rig({}, { id: 'a' });
  rig.receive({ identity: 'a1', merchantId: 'a', attempt: 6 });
  rig.end('a1', { kind: 'throttled', reason: '429', retryAfterMs: 300_000 });
  rig.source.confirm(rig.dispatcher);
  rig.clock.pass(360_000 - 1);
  for (let i = 0; i < 2; i++) rig.dispatcher.sweep();
  assert.equal(rig.dispatcher.snapshot().merchants, 1);
  rig.clock.pass(1);
  rig.dispatcher.sweep();
  assert.equal(rig.dispatcher.snapshot().merchants, 0);
});

test('a merchant that has been let wait for long is among the worst, whatever the others', () => {
  const slow = Array.from({ length: 20 }, (_, n) => ({ id: `slow-${n}-` }));
  const rig = new Rig({}, { id: 'p', paused: true }, ...slow);
  rig.receiveAll('p1');
  rig.clock.pass(60_000);
  for (const { id } of slow) rig.receiveAll(`${id}1`);
  rig.clock.pass(5_000);
  assert.equal(gateOf(rig, 'p'), 'pause');
});
