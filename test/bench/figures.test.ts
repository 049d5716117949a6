import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { readmeWithFigures } from '../../bench/figures.ts';

const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');

test('README’s figures are those of the result files: node bench/figures.ts writes them', () => {
  assert.equal(readme, readmeWithFigures(readme));
});

test('a README without a place for them is refused', () => {
  assert.throws(() => readmeWithFigures('# orderlane'), /expected <!-- figures/);
});
