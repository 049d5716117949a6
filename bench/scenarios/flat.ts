import type { Peer } from '../peer.ts';
import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import {
  cpuPerOrder,
  type Figure,
  type Goal,
  mainPerOrder,
  memory,
  once,
  perSecond,
  type Run,
  type Scenario,
} from '../scenario.ts';
import type { Summary } from '../summary.ts';
import { atMost } from '../summary.ts';
import { trial } from '../trial.ts';

const SYSTEM = 'orderlane';
const GROWTH_MOST = 1.1;
const WARMUP = 5000;
const ORDERS = 100_000;
const waiting = (orders: number): string => `${orders.toLocaleString('en')} orders waiting`;
const served = (merchants: number): string => `${merchants.toLocaleString('en')} merchants`;
const forwarded = (merchants: number): string => `${served(merchants)}, forwarder`;
const returned = (merchants: number): string => `${served(merchants)}, no-op`;
const LARGE = 100_000;
/**
 * A heap grows for as long as orders come, until the first of its full collections: a million orders would bring more of it than
 * a hundred thousand wherever they had waited. So what a larger backlog costs is read after as many orders of each.
 */
const earlyMemory: Figure = {
  name: `peak memory of the first ${LARGE.toLocaleString('en')}`,
  unit: ' MB',
  digits: 0,
  of: (run) => run.earlyPeakMb ?? Number.NaN,
};
const BACKLOGS = [10_000, 100_000, 1_000_000];
const MERCHANTS = [100, 10_000, 100_000];
/** So many orders come before, two for each of the most merchants: what an order costs, and not what a merchant costs once. */
const KNOWN_BY = 200_000;
/** That cost: most orders bring a merchant that is new. */
const FIRST = 'most merchants new, equal shares, no-op';
const FORWARDED = 30_000;

/** The forwarder is not needed to see what grows: without calls, what grows is a larger part of the cost. */
export const backlog: Scenario = {
  name: 'backlog',
  describe: 'the whole backlog is worked off by a handler that returns at once, one shard, 1,000 merchants',
  figures: [cpuPerOrder, earlyMemory, memory, perSecond],
  runs: (quick) =>
    (quick ? BACKLOGS.slice(0, 2) : BACKLOGS).flatMap((orders) => {
      const runs = [plain('ack'), orderlane({ handler: 'noop' })].map((peer) =>
        trial({
          case: waiting(orders),
          peer,
          warmup: WARMUP,
          orders,
          concurrency: 4000,
          batch: { merchants: 1000 },
          early: Math.min(orders, LARGE),
        }),
      );
      // A million orders take two minutes to publish, and what is compared is orderlane with itself.
      return orders > LARGE ? [...once(runs.slice(0, 1)), ...runs.slice(1)] : runs;
    }),
  goals: (summary) => [
    growth(summary, cpuPerOrder, BACKLOGS.map(waiting)),
    growth(summary, earlyMemory, BACKLOGS.filter((orders) => orders >= LARGE).map(waiting)),
  ],
};

export const merchants: Scenario = {
  name: 'merchants',
  describe:
    'Zipf 1, one shard: the forwarder (merchants without delay, 200 calls in flight), and a handler that returns at once',
  figures: [cpuPerOrder, mainPerOrder, memory, perSecond],
  runs: (quick) => {
    const calls = (count: number): Run =>
      trial({
        case: forwarded(count),
        peer: orderlane(),
        warmup: KNOWN_BY,
        orders: quick ? 10_000 : FORWARDED,
        concurrency: 200,
        batch: { merchants: count, zipf: 1 },
        merchants: { latencyMs: 0 },
      });
    const noop = (
      count: number,
      ofCase: string,
      zipf: number,
      warmup: number,
      peer: Peer = orderlane({ handler: 'noop' }),
    ): Run =>
      trial({
        case: ofCase,
        peer,
        warmup,
        orders: quick ? 30_000 : ORDERS,
        concurrency: 4000,
        batch: { merchants: count, zipf },
      });
    const [fewest, most] = [MERCHANTS[0] as number, MERCHANTS.at(-1) as number];
    return [
      ...[fewest, most].map(calls),
      ...[fewest, most].map((count) => noop(count, returned(count), 1, KNOWN_BY)),
      // Who has no lanes does not see how many merchants there are.
      ...once(MERCHANTS.map((count) => noop(count, returned(count), 1, KNOWN_BY, plain('ack')))),
      ...once(MERCHANTS.slice(1, -1).map((count) => noop(count, returned(count), 1, KNOWN_BY))),
      ...once([fewest, most].map((count) => noop(count, `${returned(count)}, equal shares`, 0, KNOWN_BY))),
      ...once([noop(most, FIRST, 0, WARMUP)]),
    ];
  },
  goals: (summary) => {
    const cases = MERCHANTS.map(forwarded);
    return [mainPerOrder, cpuPerOrder, memory].map((figure) => growth(summary, figure, cases));
  },
};

/** From the smallest case that was measured to the largest, pair by pair. */
function growth(summary: Summary, figure: Figure, cases: readonly string[]): Goal {
  const measured = cases.filter((each) => summary.cases.includes(each));
  const [smallest, largest] = [measured[0] ?? '', measured.at(-1) ?? ''];
  const ratio = measured.length < 2 ? Number.NaN : summary.ratio(figure, largest, SYSTEM, SYSTEM, smallest);
  return atMost(ratio, GROWTH_MOST, `${figure.name} from ${smallest} to ${largest}`);
}
