import { Histogram } from '../../src/histogram.ts';
import type { ProcessReadings } from '../../src/readings.ts';

const called = new Histogram();
for (const ms of [4, 80, 90_000]) called.observe(ms);

/** What a small process at work might say. */
export const READINGS: ProcessReadings = {
  phase: 'running',
  isConnected: true,
  reconnects: 2,
  events: { confirmed: 5, refused: 1 },
  mainUtilization: 0.25,
  paused: { count: 12, first: ['m-1', 'm-2'] },
  limits: { calls: 4000, windowMessages: 10_000, windowBytes: 1024 },
  attempts: 3,
  settled: new Histogram().reading(),
  waited: new Histogram().reading(),
  called: called.reading(),
  oldestUnsettledMs: 1500,
  oldestEligibleMs: 0,
  stats: {
    received: 12,
    outcomes: {
      delivered: 8,
      rejected: 2,
      malformed: 0,
      'not-sent': 0,
      ambiguous: 1,
      throttled: 0,
      deferred: 0,
      expired: 1,
      failed: 0,
    },
    retried: 1,
    deferred: 0,
    deadLettered: {
      rejected: 2,
      malformed: 0,
      expired: 1,
      'handler-error': 0,
      'max-attempts': 0,
      'thread-crash': 0,
      'process-crash': 0,
      ambiguous: 0,
    },
    parked: 1,
    joined: 5,
    inFlight: 3,
    overAge: 1,
    waiting: 2,
    unsettled: 6,
    unsettledBytes: 600,
    onLadder: 4,
    merchants: 7,
    shards: [
      { inFlight: 3, state: 'ready', restarts: 0, utilization: 0.5 },
      { inFlight: 0, state: 'down', restarts: 2, utilization: 0 },
    ],
    slowest: [
      {
        merchant: 'a"b\\c\n',
        gate: 'breaker',
        failure: 'timeout',
        inFlight: 1,
        waiting: 2,
        out: 4,
        latencyMs: 80,
        oldestMs: 900,
      },
    ],
  },
};
