import type { Peer } from '../peer.ts';
import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { cpuPerOrder, type Figure, type Goal, memory, once, perSecond, type Run, type Scenario } from '../scenario.ts';
import type { Summary } from '../summary.ts';
import { atMost } from '../summary.ts';
import { trial } from '../trial.ts';

const SYSTEM = 'orderlane';
const GROWTH_MOST = 1.1;
const WARMUP = 5000;
const ORDERS = 100_000;
const waiting = (orders: number): string => `${orders.toLocaleString('en')} orders waiting`;
const served = (merchants: number): string => `${merchants.toLocaleString('en')} merchants`;
const LARGE = 100_000;
const BACKLOGS = [10_000, 100_000, 1_000_000];
const MERCHANTS = [100, 10_000, 100_000];
/** So many orders come before, two for each of the most merchants: what an order costs, and not what a merchant costs once. */
const KNOWN_BY = 200_000;
/** That cost: most orders bring a merchant that is new. */
const FIRST = 'most merchants new, equal shares';
/** The hardest case for lanes: nothing of the next order's merchant is in the processor's caches. */
const EQUAL = 'merchants, equal shares';
const isGoal = (count: number): boolean => count === MERCHANTS[0] || count === MERCHANTS.at(-1);

/** The forwarder is not needed to see what grows: without calls, what grows is a larger part of the cost. */
export const backlog: Scenario = {
  name: 'backlog',
  describe: 'the whole backlog is worked off by a handler that returns at once, one shard, 1,000 merchants',
  figures: [cpuPerOrder, memory, perSecond],
  runs: (quick) =>
    (quick ? BACKLOGS.slice(0, 2) : BACKLOGS).flatMap((orders) => {
      const runs = [plain('ack'), orderlane('noop')].map((peer) =>
        trial({ case: waiting(orders), peer, warmup: WARMUP, orders, concurrency: 4000, batch: { merchants: 1000 } }),
      );
      // A million orders take two minutes to publish.
      return orders > LARGE ? once(runs) : runs;
    }),
  // The smallest is over before the heap has grown to what it needs.
  goals: (summary) => flatness(summary, BACKLOGS.map(waiting), BACKLOGS.slice(1).map(waiting)),
};

export const merchants: Scenario = {
  name: 'merchants',
  describe: 'Zipf 1, a handler that returns at once, one shard',
  figures: [cpuPerOrder, memory, perSecond],
  runs: (quick) =>
    MERCHANTS.flatMap((count) => {
      const run = (peer: Peer, ofCase = served(count), warmup = KNOWN_BY, zipf = 0): Run =>
        trial({
          case: ofCase,
          peer,
          warmup,
          orders: quick ? 30_000 : ORDERS,
          concurrency: 4000,
          batch: { merchants: count, zipf },
        });
      const known = run(orderlane('noop'), served(count), KNOWN_BY, 1);
      // Who has no lanes does not see how many merchants there are.
      return [
        ...once([run(plain('ack'), served(count), KNOWN_BY, 1)]),
        ...(isGoal(count) ? [known] : once([known])),
        ...(isGoal(count) ? once([run(orderlane('noop'), `${count.toLocaleString('en')} ${EQUAL}`)]) : []),
        ...(count === MERCHANTS.at(-1) ? once([run(orderlane('noop'), FIRST, WARMUP)]) : []),
      ];
    }),
  goals: (summary) => flatness(summary, MERCHANTS.map(served)),
};

/** From the smallest case that was measured to the largest, pair by pair. */
function flatness(
  summary: Summary,
  cases: readonly string[],
  ofMemory: readonly string[] = cases,
): ReturnType<Scenario['goals']> {
  const grown = (figure: Figure, among: readonly string[]): Goal => {
    const measured = among.filter((each) => summary.cases.includes(each));
    const [smallest, largest] = [measured[0] ?? '', measured.at(-1) ?? ''];
    const ratio = measured.length < 2 ? Number.NaN : summary.ratio(figure, largest, SYSTEM, SYSTEM, smallest);
    return atMost(ratio, GROWTH_MOST, `${figure.name} from ${smallest} to ${largest}`);
  };
  return [grown(cpuPerOrder, cases), grown(memory, ofMemory)];
}
