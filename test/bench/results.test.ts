import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { plot } from '../../bench/plot.ts';
import {
  type Machine,
  machinesIn,
  parseResults,
  ResultFile,
  type Results,
  readResults,
  thisMachine,
} from '../../bench/results.ts';
import { cpuPerOrder, type Row } from '../../bench/scenario.ts';

const rows: readonly Row[] = ['ours', 'theirs & co'].flatMap((system) =>
  [1, 2, 3].map((pair) => ({
    scenario: 'cost',
    run: `forwarder: ${system}`,
    case: 'forwarder',
    system,
    pair,
    orders: 100,
    elapsedMs: 1000,
    cpuMs: 10 + pair,
    peakMb: 50,
  })),
);

test('a result file is read as it was written', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-results-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const machine = thisMachine(true);
  const file = new ResultFile(join(dir, 'new'), 'cost', machine);
  for (const row of rows) file.add([row]);
  assert.deepEqual(readResults(file.path), { machine, machines: [machine], rows });
});

test('a latency of what was never answered is infinite after it was written, too', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-results-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const file = new ResultFile(dir, 'hot-thread', thisMachine(false));
  file.add([{ ...(rows[0] as Row), p99Ms: Number.POSITIVE_INFINITY }]);
  assert.equal(readResults(file.path).rows[0]?.p99Ms, Number.POSITIVE_INFINITY);
});

test('a session that goes on with a result file keeps what is there, and knows what is left', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-results-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const machine = thisMachine(false);
  new ResultFile(dir, 'cost', machine).add(rows.slice(0, 2));
  const resumed = new ResultFile(dir, 'cost', { ...machine, date: '2030-01-01' }, true);
  assert.deepEqual(resumed.earlier, rows.slice(0, 2));
  assert.equal(resumed.has('forwarder: ours', 2), true);
  assert.equal(resumed.has('forwarder: ours', 3), false);
  resumed.add(rows.slice(2));
  const anew = { ...machine, date: '2030-01-01' };
  assert.deepEqual(readResults(resumed.path), { machine, machines: [machine, anew], rows });
  assert.throws(() => new ResultFile(dir, 'cost', { ...machine, cores: 99 }, true), /cores .*99.*the same to resume/);
  assert.deepEqual(new ResultFile(dir, 'cost', machine).earlier, [], 'without it, a session begins anew');
});

test('where rows are ratios of their own a session goes on with a file on another machine, and what is made of it names both', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-results-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const machine = { ...thisMachine(false), cores: 2, cpu: 'One', memoryGb: 24, node: 'v1' };
  const other = { ...machine, cpu: 'Other' };
  new ResultFile(dir, 'cost', machine).add(rows.slice(0, 2));
  assert.throws(() => new ResultFile(dir, 'cost', other, true), /cpu One, this is Other/);
  assert.throws(() => new ResultFile(dir, 'cost', { ...other, cores: 4 }, true, true), /cores 2, this is 4/);
  const resumed = new ResultFile(dir, 'cost', other, true, true);
  resumed.add(rows.slice(2));
  const results = readResults(resumed.path);
  assert.deepEqual(results.rows, rows);
  assert.equal(machinesIn(results), 'Node v1, 2 x One, 24 GB and 2 x Other, 24 GB');
});

test('a run that was disturbed is made again by a session that goes on, and what it came to before goes', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-results-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const machine = thisMachine(false);
  const [first, second, third] = rows as readonly [Row, Row, Row];
  const disturbed = { ...first, case: 'handler', disturbed: 'the host took 26% of the CPU time for 5 s' };
  new ResultFile(dir, 'cost', machine).add([first, disturbed, second]);
  const resumed = new ResultFile(dir, 'cost', machine, true);
  assert.deepEqual([resumed.has(first.run, 1), resumed.has(second.run, 2)], [false, true]);
  const anew = [{ ...first, cpuMs: 99 }];
  resumed.add([third]);
  assert.equal(readResults(resumed.path).rows.length, 4, 'it is there until there is a better one');
  resumed.add(anew);
  assert.deepEqual(readResults(resumed.path).rows, [second, third, ...anew]);
});

test('rows without the machine that they were measured on are refused', () => {
  assert.throws(() => parseResults(JSON.stringify(rows[0])), /expected the machine in the first line/);
});

function resultsOn(machine: Machine): Results {
  return { machine, machines: [machine], rows };
}

test('a plot has a point a run, every system and case by name, and the machine', async () => {
  const svg = await plot('cost', cpuPerOrder, resultsOn({ ...thisMachine(false), cpu: 'Test CPU' }));
  assert.match(svg, /^<svg /);
  for (const text of ['cost', 'forwarder', 'ours', 'theirs &amp; co', 'Test CPU']) assert.ok(svg.includes(text), text);
  // One path a run in the group of points.
  assert.equal(svg.match(/aria-roledescription="point"/g)?.length, rows.length);
});

test('the plot of a quick run says that it is no result', async () => {
  assert.match(await plot('cost', cpuPerOrder, resultsOn(thisMachine(true))), /no result/);
});
