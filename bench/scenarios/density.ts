import { celery } from '../peers/celery.ts';
import type { Peer } from '../peer.ts';
import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { cpuPerOrder, type Figure, memory, once, type Run, type Scenario, seconds } from '../scenario.ts';
import { atMost } from '../summary.ts';
import { trial } from '../trial.ts';

const SIZES = [1000, 6000, 20_000, 60_000];
/** A source address has fewer ports than that to one merchant address, and other runs' closed ones linger. */
const MOST_CALLS = 6000;
const MOST_WAITING = 60_000;
const MERCHANTS = 1000;
const LATENCY_MS = 5_000;

const waiting = (orders: number): string => `${orders} waiting`;
const calling = (orders: number): string => `${orders} HTTP calls`;
const memoryPerOrder: Figure = {
  name: 'memory per order',
  unit: ' kB',
  digits: 0,
  of: (r) => (r.peakMb * 1024) / r.orders,
};

export const density: Scenario = {
  name: 'density',
  describe: `orders of 5 s, all in flight at once, one shard, ${MERCHANTS} merchants; memory includes what an idle process has`,
  figures: [seconds, memory, memoryPerOrder, cpuPerOrder],
  runs: (quick) => {
    const sizes = quick ? [6000] : SIZES;
    const common = { warmup: 0, batch: { merchants: MERCHANTS } };
    const wait = (peer: Peer, orders: number): Run =>
      trial({ ...common, case: waiting(orders), peer, orders, concurrency: orders });
    const call = (peer: Peer, orders: number): Run =>
      trial({
        ...common,
        case: calling(orders),
        peer,
        orders,
        concurrency: orders,
        merchants: { latencyMs: LATENCY_MS },
      });
    /** Sizes that no goal is about show the way there, and need no five runs. */
    const asGoal = (isGoal: boolean, runs: readonly Run[]): readonly Run[] => (isGoal ? runs : once(runs));
    return [
      ...sizes.flatMap((orders) => [
        ...asGoal(orders === MOST_WAITING, [wait(plain('wait'), orders), wait(orderlane({ handler: 'wait' }), orders)]),
        ...(orders > MOST_CALLS ? [] : once([wait(celery('gevent', 'wait'), orders)])),
      ]),
      ...sizes
        .filter((orders) => orders <= MOST_CALLS)
        .flatMap((orders) => [
          ...asGoal(orders === MOST_CALLS, [call(plain('got'), orders), call(orderlane(), orders)]),
          ...once([call(celery('gevent'), orders)]),
        ]),
    ];
  },
  goals: (summary) => [
    atMost(summary.median(seconds, waiting(MOST_WAITING), 'orderlane'), 6.5, '60,000 waiting orders', ' s'),
    atMost(summary.median(memory, waiting(MOST_WAITING), 'orderlane'), 400, '60,000 waiting orders', ' MB'),
    atMost(
      summary.ratio(memory, calling(MOST_CALLS), 'orderlane', 'plain amqplib + got'),
      1,
      `memory of ${MOST_CALLS} calls in flight over plain got's`,
    ),
  ],
};
