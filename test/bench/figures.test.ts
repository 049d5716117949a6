import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readmeWithFigures } from '../../bench/figures.ts';
import { ResultFile, thisMachine } from '../../bench/results.ts';

const row = { scenario: 'start', run: 'start', case: 'start', orders: 1, cpuMs: 10, peakMb: 100 };

test('README’s figures are the medians in the result files; what was not measured has no line', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-figures-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const file = new ResultFile(dir, 'start', thisMachine(false));
  for (const [n, elapsedMs] of [200, 900, 300].entries()) {
    file.add([{ ...row, system: 'orderlane', pair: n + 1, elapsedMs }]);
  }
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const table = /<!-- figures.*?-->\n(.*?)<!-- \/figures -->/s.exec(readmeWithFigures(readme, dir))?.[1];
  assert.equal(
    table,
    [
      '| | orderlane | by hand | Celery gevent | rounds |',
      '| --- | --- | --- | --- | --- |',
      '| from process start to the first order delivered | 0.30 s | – | – | 3 |',
      '',
    ].join('\n'),
  );
});

test('a README without a place for them is refused, and so is a quick run', async (t) => {
  assert.throws(() => readmeWithFigures('# orderlane', '.'), /expected <!-- figures/);
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-figures-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  new ResultFile(dir, 'start', thisMachine(true)).add([{ ...row, system: 'orderlane', pair: 1, elapsedMs: 1 }]);
  assert.throws(
    () => readmeWithFigures('<!-- figures: node bench/figures.ts -->\n<!-- /figures -->', dir),
    /quick run/,
  );
});
