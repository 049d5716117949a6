import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replay } from '../../bench/simulation/faults/sweep.ts';
import type { Outcome } from '../../bench/simulation/faults/world.ts';
import { untilFound } from './sweep-thread.ts';

const planted = (name: string): string => new URL(`planted/${name}.ts`, import.meta.url).href;

test('whatever fails between any two steps, every order ends once, and no more is sent than faults explain', async () => {
  const outcomes = await untilFound({ first: 1, seeds: 500 });
  const last = outcomes.at(-1);
  assert.equal(last?.finding, undefined, `seed ${last?.seed}`);
  // The faults do strike, and all kinds of ends come up.
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, each) => total + of(each), 0);
  const kinds = new Set(outcomes.flatMap(({ faults }) => Object.keys(faults)));
  assert.equal(kinds.size, 17);
  for (const count of [sum((each) => each.delivered), sum((each) => each.deadLettered), sum((each) => each.parked)]) {
    assert.ok(count > 100);
  }
  assert.ok(sum(({ processes }) => processes - 1) > 100);
  assert.ok(sum(({ resends }) => resends) > 10);
  assert.ok(sum(({ deaths }) => deaths) > 100);
});

test('a seed is one run, to its last event', async () => {
  const traceOf = async (seed: number): Promise<string[]> => {
    const lines: string[] = [];
    await replay(seed, (line) => lines.push(line));
    return lines;
  };
  const first = await traceOf(11);
  assert.ok(first.length > 50);
  assert.deepEqual(await traceOf(11), first);
  assert.notDeepEqual(await traceOf(12), first);
});

// The last is the seed to begin with, where an earlier one shows it by another sign.
for (const [error, path, name, shows, first = 1] of [
  ['an ack before the confirm', 'broker/rabbitmq/publisher.ts', 'ack-before-confirm', /was acknowledged, but/],
  ['a join by order ID', 'dispatcher/ledger.ts', 'join-by-order-id', /was acknowledged, but/, 3],
  [
    'a slot reused without its generation',
    'dispatcher/shard-slots.ts',
    'slot-without-generation',
    /was acknowledged, but|is delivered, and it is not/,
  ],
  ['an event that is not published', 'broker/rabbitmq/publisher.ts', 'event-unpublished', /no event tells of it/],
  ['an event before its dead letter', 'broker/rabbitmq/publisher.ts', 'event-too-early', /and it is not$/, 2],
  [
    'a count that condemns neighbours',
    'dispatcher/returns.ts',
    'count-condemns',
    /as process-crash, and processes died of/,
  ],
  ['an event ID that changes', 'broker/codec/cloud-event.ts', 'event-id-by-chance', /both tell/],
  [
    'an attempt that later copies do not know of',
    'broker/rabbitmq/republish.ts',
    'possibly-sent-forgotten',
    /had forgotten its key/,
  ],
] as const) {
  test(`${error} is found within 1,000 seeds`, async (t) => {
    const last = (await untilFound({ first, seeds: 1000, broken: { [path]: planted(name) } })).at(-1);
    assert.match(last?.finding ?? 'nothing', shows);
    t.diagnostic(`seed ${last?.seed}: ${last?.finding}`);
  });
}

test('a thread that is lost while the others start is replaced, and nothing else happens', async () => {
  const broken = { 'dispatcher/shard-pool.ts': planted('thread-lost-at-start') };
  const outcomes = await untilFound({ first: 1, seeds: 20, broken });
  assert.equal(outcomes.at(-1)?.finding, undefined);
  assert.equal(outcomes.length, 20);
});
