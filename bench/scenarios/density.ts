import { celery } from '../peers/celery.ts';
import type { Peer } from '../peer.ts';
import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { cpuPerOrder, type Figure, memory, once, type Run, type Scenario, seconds } from '../scenario.ts';
import type { Summary } from '../summary.ts';
import { atMost } from '../summary.ts';
import { trial } from '../trial.ts';

const SIZES = [1000, 6000, 20_000, 60_000];
/** A source address has fewer ports than that to one merchant address, and other runs' closed ones linger. */
const MOST_CALLS = 6000;
const MOST_WAITING = 60_000;
/** So that no merchant has more orders than the 50 that a lane begins with. */
const MERCHANTS = 3000;
const LATENCY_MS = 5_000;
/** What is asked is what an order in flight costs beside its bytes, of which every system keeps a copy or two. */
const WAITING_BYTES = 300;
/** With room: the last calls of a budget go to merchants that have the fewest. */
const ROOM = 1.08;

const waiting = (orders: number): string => `${orders.toLocaleString('en')} waiting`;
const calling = (orders: number): string => `${orders.toLocaleString('en')} HTTP calls`;
const ALONE = '1 HTTP call';
const GOT = 'plain amqplib + got';
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
    const common = (orders: number) => ({ warmup: 0, orders, concurrency: Math.ceil(orders * ROOM) });
    const wait = (peer: Peer, orders: number): Run =>
      trial({ ...common(orders), case: waiting(orders), peer, batch: { merchants: MERCHANTS, bytes: WAITING_BYTES } });
    const call = (peer: Peer, orders: number): Run =>
      trial({
        ...common(orders),
        case: orders === 1 ? ALONE : calling(orders),
        peer,
        batch: { merchants: MERCHANTS },
        merchants: { latencyMs: LATENCY_MS },
      });
    /** Sizes that no goal is about show the way there, and need no five runs. */
    const asGoal = (isGoal: boolean, runs: readonly Run[]): readonly Run[] => (isGoal ? runs : once(runs));
    const celeryToo = (runs: readonly Run[]): readonly Run[] => (quick ? [] : once(runs));
    return [
      ...sizes.flatMap((orders) => [
        ...asGoal(orders === MOST_WAITING, [wait(plain('wait'), orders), wait(orderlane({ handler: 'wait' }), orders)]),
        ...(orders > MOST_CALLS ? [] : celeryToo([wait(celery('gevent', 'wait'), orders)])),
      ]),
      ...[1, ...sizes.filter((orders) => orders <= MOST_CALLS)].flatMap((orders) => [
        ...asGoal(orders === 1 || orders === MOST_CALLS, [call(plain('got'), orders), call(orderlane(), orders)]),
        ...(orders === 1 ? [] : celeryToo([call(celery('gevent'), orders)])),
      ]),
    ];
  },
  goals: (summary) => [
    atMost(summary.median(seconds, waiting(MOST_WAITING), 'orderlane'), 6.5, '60,000 waiting orders', ' s'),
    atMost(summary.median(memory, waiting(MOST_WAITING), 'orderlane'), 400, '60,000 waiting orders', ' MB'),
    atMost(
      perCall(summary, 'orderlane') / perCall(summary, GOT),
      1,
      `memory of a call, of ${MOST_CALLS} in flight, over plain got's`,
    ),
  ],
};

/** In MB, beyond what the process has with one call. */
function perCall(summary: Summary, system: string): number {
  const [many, one] = [calling(MOST_CALLS), ALONE].map((each) => summary.median(memory, each, system));
  return ((many ?? Number.NaN) - (one ?? Number.NaN)) / MOST_CALLS;
}
