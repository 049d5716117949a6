import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { METRICS, registryOf } from '../../src/admin/metrics.ts';
import { LATENCY_BOUNDS } from '../../src/histogram.ts';
import type { LaneStats } from '../../src/stats.ts';
import { READINGS } from './readings.ts';

const UNITS_NOT_BASE = /(?:^|_)(?:milliseconds?|ms|minutes?|hours?|days?|kilobytes?|kb|mb|megabytes?|percent)(?:_|$)/;

/** What `promtool check metrics` finds fault with, of names and help. */
test('every metric has a name, a unit and a help as Prometheus wants them', () => {
  const names = new Set<string>();
  for (const { name, type, help } of METRICS) {
    assert.match(name, /^(?:orderlane|process)(?:_[a-z]+)+$/);
    assert.ok(!names.has(name), `${name} is there twice`);
    names.add(name);
    assert.equal(name.endsWith('_total'), type === 'counter', `${name}: counters, and nothing else, end in _total`);
    assert.doesNotMatch(name, /_(?:count|sum|bucket|info)$/, 'kept for histograms and summaries');
    assert.doesNotMatch(name, /_(?:counter|gauge|histogram)(?:_|$)/, 'no type in a name');
    assert.doesNotMatch(name, UNITS_NOT_BASE, 'seconds and bytes alone');
    if (type === 'histogram') assert.match(name, /_seconds$/);
    assert.match(help, /^[A-Z].{10,}\.$/s);
  }
});

test('docs/metrics.md has every metric, with its labels', () => {
  const labelsOf = (metric: (typeof METRICS)[number]): string => {
    const read: unknown = metric.read(READINGS);
    const [[labels]] = (Array.isArray(read) ? read : [[{}]]) as [[object]];
    return Object.keys(labels)
      .map((label) => `\`${label}\` `)
      .join('');
  };
  const rows = METRICS.map((each) => `| \`${each.name}\` | ${each.type} | ${labelsOf(each)}| ${each.help} |`);
  const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  const table = text.split('\n').filter((line) => /^\| `(?:orderlane|process)_/.test(line));
  assert.deepEqual(table, rows);
});

test('every sample belongs to the metric above it, once, with labels that Prometheus knows and that are not kept for it', async () => {
  const text = await registryOf(() => READINGS).print();
  assert.ok(text.endsWith('\n'));
  let family = { name: '', type: '' };
  const seen = new Set<string>();
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) family = { name: type[1] as string, type: type[2] as string };
    if (line.startsWith('#')) continue;
    const [, name, labels = '', value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? assert.fail(line);
    const own = family.type === 'histogram' ? (name as string).replace(/_(?:bucket|sum|count)$/, '') : name;
    assert.equal(own, family.name);
    assert.ok(Number.isFinite(Number(value)), line);
    assert.ok(!seen.has(`${name}{${labels}}`), `${line} is there twice`);
    seen.add(`${name}{${labels}}`);
    for (const [, label] of labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) {
      assert.match(label as string, /^(?:outcome|reason|budget|shard|thread|merchant|le)$/);
      assert.equal(label === 'le', family.type === 'histogram', 'le belongs to histograms');
    }
  }
});

test('without /proc, which resident memory is read from, all else is there', async (t) => {
  t.mock.method(process.memoryUsage, 'rss', () => {
    throw new Error('ENOENT: no such file or directory, uv_resident_set_memory');
  });
  const text = await registryOf(() => READINGS).print();
  const samples = (of: string): string[] => of.match(/^[a-z_]+(?=[ {])/gm) ?? [];
  t.mock.restoreAll();
  const whole = await registryOf(() => READINGS).print();
  assert.deepEqual(
    samples(text),
    samples(whole).filter((name) => name !== 'process_resident_memory_bytes'),
  );
});

test('a histogram counts upwards, to all that was observed', async () => {
  const text = await registryOf(() => READINGS).print();
  const buckets = [...text.matchAll(/^orderlane_call_duration_seconds_bucket\{le="(\S+)"\} (\d+)$/gm)];
  assert.deepEqual(
    buckets.map(([, bound]) => bound),
    [...LATENCY_BOUNDS.map(String), '+Inf'],
  );
  assert.deepEqual(
    buckets.map(([, , count]) => Number(count)),
    [1, 1, 1, 1, ...LATENCY_BOUNDS.slice(4).map(() => 2), 3],
  );
  assert.match(text, /^orderlane_call_duration_seconds_sum 90\.084$/m);
  assert.match(text, /^orderlane_call_duration_seconds_count 3$/m);
});

test('values come through, and what a merchant is called cannot break the format', async () => {
  const text = await registryOf(() => READINGS).print();
  for (const line of [
    'orderlane_outcomes_total{outcome="delivered"} 8',
    'orderlane_dead_letters_total{reason="rejected"} 2',
    'orderlane_unsettled_bytes 600',
    'orderlane_unsettled_limit_bytes 1024',
    'orderlane_budget_used_ratio{budget="window_bytes"} 0.78125',
    'orderlane_orders_in_flight_limit 4000',
    'orderlane_broker_connected 1',
    'orderlane_oldest_unsettled_age_seconds 1.5',
    'orderlane_thread_restarts_total{shard="1"} 2',
    'orderlane_event_loop_utilization_ratio{thread="main"} 0.25',
    String.raw`orderlane_worst_lane_waiting{merchant="a\"b\\c\n"} 2`,
  ]) {
    assert.ok(text.includes(`\n${line}\n`), `${line} is missing`);
  }
});

test('a lane in which nothing waits is no label, however slow its merchant is', async () => {
  const [lane] = READINGS.stats.slowest;
  const calm = { ...(lane as LaneStats), merchant: 'calm', waiting: 0, out: 0 };
  const slowest = [calm, { ...calm, merchant: 'away', out: 7 }];
  const text = await registryOf(() => ({ ...READINGS, stats: { ...READINGS.stats, slowest } })).print();
  assert.ok(!text.includes('calm'));
  assert.match(text, /^orderlane_worst_lane_waiting\{merchant="away"\} 0$/m);
  assert.match(text, /^orderlane_worst_lane_out\{merchant="away"\} 7$/m);
});

test('merchants are labels of the few worst lanes only', () => {
  for (const metric of METRICS) {
    if (metric.type === 'histogram' || metric.name.startsWith('orderlane_worst_lane_')) continue;
    const read = metric.read(READINGS);
    if (typeof read === 'number') continue;
    for (const [labels] of read) assert.ok(!('merchant' in labels), metric.name);
  }
});
