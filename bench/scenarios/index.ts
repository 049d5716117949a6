import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import type { Measured, Scenario } from '../scenario.ts';

const perSecond = (run: Measured): number => (run.orders * 1000) / run.elapsedMs;
const cpuPerOrderUs = (run: Measured): number => (run.cpuMs * 1000) / run.orders;
const seconds = (run: Measured): number => run.elapsedMs / 1000;

export const scenarios: readonly Scenario[] = [
  {
    name: 'noop',
    describe: 'a handler that returns at once, one shard, against a consumer that only acks',
    warmup: 20_000,
    orders: 100_000,
    quickOrders: 40_000,
    merchants: 1000,
    concurrency: 4000,
    sends: false,
    peer: orderlane('noop'),
    baseline: plain('ack'),
    figure: { name: 'orders per second', unit: '/s', digits: 0, of: perSecond },
    goals: [{ says: 'at least 0.80 of the bare consumer', met: (ratio) => ratio >= 0.8 }],
  },
  {
    name: 'forwarder',
    describe: 'the forwarder to merchants without delay, one shard, against plain amqplib + got',
    warmup: 20_000,
    orders: 30_000,
    quickOrders: 10_000,
    merchants: 1000,
    concurrency: 200,
    sends: true,
    peer: orderlane(),
    baseline: plain('got'),
    figure: { name: 'CPU per order', unit: ' us', digits: 0, of: cpuPerOrderUs },
    goals: [{ says: 'at most 1.15 times the CPU of the plain consumer', met: (ratio) => ratio <= 1.15 }],
  },
  {
    name: 'waiting',
    describe: '6,000 orders of 600 merchants whose handler waits 5 s, all in flight at once, one shard',
    warmup: 0,
    orders: 6000,
    quickOrders: 6000,
    merchants: 600,
    concurrency: 6000,
    sends: false,
    peer: orderlane('wait'),
    baseline: plain('wait'),
    figure: { name: 'time from the first order to the last', unit: ' s', digits: 2, of: seconds },
    goals: [
      { says: 'at most 5.4 s', met: (_ratio, medianOf) => medianOf(seconds) <= 5.4 },
      { says: 'at most 300 MB', met: (_ratio, medianOf) => medianOf((run) => run.peakMb) <= 300 },
    ],
  },
];
