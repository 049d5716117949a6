import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LaneStats, statsLine } from '../src/stats.ts';
import { Rig } from './dispatcher/neighbours.ts';

test('the statistics for a person are one line, which names the merchant that is worst off, its gate and its last failure', () => {
  const calm = new Rig().dispatcher.snapshot();
  const line = 'in flight 0  waiting 0  on the ladder 0  delivered 0  retried 0  dead-lettered 0';
  assert.equal(statsLine(calm), line);
  const lane: LaneStats = { merchant: 'm-7', inFlight: 1, waiting: 4, out: 2, latencyMs: 80, oldestMs: 900 };
  assert.equal(statsLine({ ...calm, slowest: [lane] }), line);
  assert.equal(
    statsLine({ ...calm, parked: 3, slowest: [{ ...lane, gate: 'breaker', failure: 'HTTP 500' }] }),
    `${line}  parked 3  worst m-7 (waiting 4, out 2, held by breaker: HTTP 500)`,
  );
});
