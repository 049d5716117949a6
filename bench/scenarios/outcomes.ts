import { type HandlerName, orderlane } from '../peers/orderlane.ts';
import { cpuPerOrder, memory, perSecond, type Run, type Scenario } from '../scenario.ts';
import type { Trial } from '../trial.ts';
import { trial } from '../trial.ts';

const NOOP = 'no-op';
const FORWARDER = 'forwarder';
const merchants = { latencyMs: 0 };

/** No queue is bound: what the broker does with an event is not ours. */
export const outcomes: Scenario = {
  name: 'outcomes',
  describe:
    'what --outcomes costs the process, one shard, 1,000 merchants: no-op with 4,000 orders in flight, forwarder with 200',
  figures: [cpuPerOrder, perSecond, memory],
  runs: (quick) => {
    const pair = (of: Omit<Trial, 'peer' | 'batch'>, handler?: HandlerName): Run[] =>
      [false, true].map((events) => {
        const peer = orderlane({
          handler,
          ...(events ? { flags: ['--outcomes'], says: ', outcome events' } : {}),
        });
        return trial({ ...of, peer, batch: { merchants: 1000 } });
      });
    const noop = { case: NOOP, warmup: 20_000, orders: quick ? 50_000 : 200_000, concurrency: 4000 };
    const orders = quick ? 10_000 : 30_000;
    const forwarder = { case: FORWARDER, warmup: 5000, orders, concurrency: 200, merchants };
    return [...pair(noop, 'noop'), ...pair(forwarder)];
  },
  goals: () => [],
};
