import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SORTS, sorted, topLines } from '../../src/cli/top-lines.ts';
import type { LaneStats } from '../../src/stats.ts';
import { READINGS } from '../admin/readings.ts';

const LANES: readonly LaneStats[] = [
  {
    merchant: 'm-10',
    gate: 'breaker',
    failure: 'timeout',
    inFlight: 1,
    waiting: 2,
    out: 9,
    latencyMs: 80,
    oldestMs: 900,
  },
  { merchant: 'm-9', inFlight: 7, waiting: 0, out: 0, latencyMs: 20, oldestMs: 30 },
  { merchant: 'x-1', gate: 'hold', inFlight: 2, waiting: 5, out: 3, latencyMs: 0, oldestMs: 1_200 },
];

function texts(view: Partial<Parameters<typeof topLines>[0]> = {}): string[] {
  return topLines({ stats: READINGS, lanes: LANES, total: 3, sort: 'worst', filter: '', ...view }).map(
    ({ text }) => text,
  );
}

test('lanes are sorted by what is asked for, and filtered by a part of the name', () => {
  const names = SORTS.map((sort) => [
    sort,
    sorted(LANES, sort, '')
      .map(({ merchant }) => merchant)
      .join(' '),
  ]);
  assert.deepEqual(Object.fromEntries(names), {
    worst: 'm-10 m-9 x-1',
    waiting: 'x-1 m-10 m-9',
    'in-flight': 'm-9 x-1 m-10',
    out: 'm-10 x-1 m-9',
    oldest: 'x-1 m-10 m-9',
    merchant: 'm-9 m-10 x-1',
  });
  assert.deepEqual(
    sorted(LANES, 'worst', 'm-1').map(({ merchant }) => merchant),
    ['m-10'],
  );
});

test('it shows the broker, the fill of each budget, what died of what, and each lane with its gate', () => {
  const all = texts().join('\n');
  assert.match(all, /^orderlane top {3}running {3}broker connected$/m);
  assert.match(all, /^ {2}main +busy 25% {3}reconnects to the broker 2$/m);
  assert.match(all, /^ {2}calls +\[#\.+\] +0% {3}3 of 4,000$/m);
  assert.match(all, /^ {2}bytes +\[#{12}\.{8}\] +58% {3}600B? of 1KiB$/m);
  assert.match(all, /^ {2}dead +2 rejected {3}1 expired {3}1 parked$/m);
  assert.match(all, /^ {2}m-10 .* breaker +timeout$/m);
});

test('outcome events are shown once there are some, and in yellow while the broker refuses them', () => {
  const shown = (confirmed: number, refused: number) =>
    topLines({ stats: { ...READINGS, events: { confirmed, refused } }, lanes: [], total: 0, sort: 'worst', filter: '' })
      .filter(({ text }) => text.startsWith('  events'))
      .map(({ text, format }) => [text.slice(11), format]);
  assert.deepEqual(shown(0, 0), []);
  assert.deepEqual(shown(1234, 0), [['1,234 confirmed', undefined]]);
  assert.deepEqual(shown(0, 5), [['0 confirmed   5 refused by the broker, and published again', 'yellow']]);
});

test('keys are named only where there are some, and the filter shows while it is typed', () => {
  assert.doesNotMatch(texts()[0] as string, /q quit/);
  const live = texts({ typing: true, filter: 'm-', perSecond: 12 });
  assert.match(live[0] as string, /s sort {3}\/ filter {3}q quit$/);
  // The keys are last, so the longest such line has to fit into 80 columns.
  const away = texts({ typing: false, stats: { ...READINGS, phase: 'draining', isConnected: false } });
  assert.ok((away[0] as string).length < 80);
  assert.ok(live.some((line) => line.includes('with "m-_" in the name')));
});

test('it says how many lanes there are besides, and that by name only the worst are sorted', () => {
  const head = (sort: 'waiting' | 'merchant', total: number): string | undefined =>
    texts({ sort, total }).find((line) => line.includes(' lanes'));
  assert.equal(head('waiting', 104_000), '  3 of 104,000 lanes by waiting');
  assert.equal(head('merchant', 104_000), '  3 of 104,000 lanes, the worst, by merchant');
  assert.equal(head('merchant', 3), '  3 of 3 lanes by merchant');
});

test('a pause that nobody has lifted stays in sight, also while its merchant has no orders', () => {
  assert.ok(texts().includes('  paused   by hand: m-1, m-2 and 10 more'));
  const none = { ...READINGS, paused: { count: 0, first: [] } };
  assert.ok(!texts({ stats: none, lanes: [] }).some((line) => line.includes('paused')));
});

test('a small terminal is told how many lanes there is room for, and keeps the failures', () => {
  const small = texts({ size: { columns: 79, rows: texts().length - 1 } });
  assert.ok(small.includes('  2 of 3 lanes by worst'));
  assert.match(small.at(-2) as string, /^ {2}m-10 +1 +2 +9 +900 ms {2}breaker {2}timeout$/);
  assert.ok(small.every((line) => line.length < 80));
  assert.ok(texts({ size: { columns: 79, rows: 5 } }).includes('  0 of 3 lanes by worst'));
});

test('what is old, because the process does not answer, is said to be', () => {
  assert.ok(texts({ trouble: 'no process answers' }).includes('  what follows is old: no process answers'));
});
