import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startBroker } from '../../src/sim/broker.ts';
import { MATRIX } from './matrix.ts';
import { playRound } from './play.ts';

// The short part of the matrix, always with the same seed; `make test-faults` plays all of it.
const SEED = 1;
const LIMIT_MS = 180_000;

const broker = await startBroker();
after(() => broker.stop());

for (const row of MATRIX.filter(({ short }) => short)) {
  test(`nothing is lost, and no more is sent again than can be explained: ${row.fault}`, async () => {
    const { problems } = await playRound({ ...row, limitMs: LIMIT_MS }, { broker, seed: SEED, full: false });
    assert.equal(problems.join('\n'), '');
  });
}
