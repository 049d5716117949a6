import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { plot } from '../../bench/plot.ts';
import { parseResults, ResultFile, readResults, thisMachine } from '../../bench/results.ts';
import { cpuPerOrder, type Row } from '../../bench/scenario.ts';

const rows: readonly Row[] = ['ours', 'theirs & co'].flatMap((system) =>
  [1, 2, 3].map((pair) => ({
    scenario: 'cost',
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
  assert.deepEqual(readResults(file.path), { machine, rows });
});

test('rows without the machine that they were measured on are refused', () => {
  assert.throws(() => parseResults(JSON.stringify(rows[0])), /expected the machine in the first line/);
});

test('a plot has a point a run, every system and case by name, and the machine', async () => {
  const svg = await plot('cost', cpuPerOrder, { ...thisMachine(false), cpu: 'Test CPU' }, rows);
  assert.match(svg, /^<svg /);
  for (const text of ['cost', 'forwarder', 'ours', 'theirs &amp; co', 'Test CPU']) assert.ok(svg.includes(text), text);
  // One path a run in the group of points.
  assert.equal(svg.match(/aria-roledescription="point"/g)?.length, rows.length);
});

test('the plot of a quick run says that it is no result', async () => {
  assert.match(await plot('cost', cpuPerOrder, thisMachine(true), rows), /no result/);
});
