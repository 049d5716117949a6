import { shardOf } from '../../src/dispatcher/shard-key.ts';
import { HOT } from '../handlers/burning.ts';
import { type Peer, RunningPeer } from '../peer.ts';
import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { usageOf } from '../process-tree.ts';
import type { Published } from '../publish.ts';
import { type Measured, memory, once, p99, type Run, type Scenario } from '../scenario.ts';
import { onStage } from '../stage.ts';
import { atMost } from '../summary.ts';
import { within } from '../trial.ts';

const RATE = 100;
const SECONDS = 20;
const QUICK_SECONDS = 10;
const MERCHANTS = 200;
const ZIPF = 1;
const LATENCY_MS = 20;
const CONCURRENCY = 1000;
const WARMUP = 300;
const CALM = 'calm';
/** About 8 of the 100 orders a second: 0.4 s of CPU a second on its thread. */
const BURNS = 'one merchant burns 50 ms an order';

export const hotThread: Scenario = {
  name: 'hot-thread',
  describe: `${RATE} orders/s to ${MERCHANTS} merchants of ${LATENCY_MS} ms, Zipf ${ZIPF}; p99 of merchants on other shards than the one that burns`,
  figures: [p99, memory],
  runs: (quick) => [
    ...once([run(plain('got'), 1, CALM, quick), run(plain('burn'), 1, BURNS, quick), ...pairOf(1, quick)]),
    ...(quick ? [2] : [2, 4]).flatMap((shards) => pairOf(shards, quick)),
  ],
  goals: (summary) =>
    [2, 4].map((shards) => {
      const { name } = orderlane({ shards });
      return atMost(summary.ratio(p99, BURNS, name, name, CALM), 1.15, `${shards} shards, the others' p99 over calm`);
    }),
};

function pairOf(shards: number, quick: boolean): readonly Run[] {
  return [
    run(orderlane({ handler: 'post', shards }), shards, CALM, quick),
    run(orderlane({ handler: 'burn', shards }), shards, BURNS, quick),
  ];
}

/** An open loop. With one shard nobody is on another, so all but the hot merchant count. */
function run(peer: Peer, shards: number, asked: string, quick: boolean): Run {
  const isOther = (merchant: string): boolean =>
    merchant !== HOT && (shards === 1 || shardOf(merchant, shards) !== shardOf(HOT, shards));
  return {
    system: peer.name,
    label: `${asked}: ${peer.name}`,
    measure: (pair) =>
      onStage(peer, { latencyMs: LATENCY_MS }, async ({ inbox, merchants, job }): Promise<readonly Measured[]> => {
        if (merchants === undefined) throw new Error('hot-thread needs merchants');
        const orders = RATE * (quick ? QUICK_SECONDS : SECONDS);
        const running = new RunningPeer(peer, job({ warmup: 0, orders, concurrency: CONCURRENCY }));
        try {
          const load = { merchants: MERCHANTS, zipf: ZIPF };
          await inbox.publish({ ...load, orders: WARMUP, rate: RATE, seed: 100 + pair });
          await within(running, merchants.accepted(WARMUP));
          const before = usageOf(running.pid);
          const published: Published[] = [];
          const { begunAt } = await inbox.publish({ ...load, orders, rate: RATE, seed: pair }, (order) =>
            published.push(order),
          );
          const endedAt = await within(running, merchants.accepted(WARMUP + orders));
          const after = usageOf(running.pid);
          const answered = new Map((await merchants.receipts()).map(({ key, acceptedAt }) => [key, acceptedAt]));
          const latencies = published
            .filter(({ merchant }) => isOther(merchant))
            .map(({ key, intendedAt }) => (answered.get(key) ?? Number.POSITIVE_INFINITY) - intendedAt)
            .sort((a, b) => a - b);
          const at = (part: number): number => latencies[Math.ceil(latencies.length * part) - 1] as number;
          const cpuMs = after.cpuMs - before.cpuMs;
          const elapsedMs = endedAt - begunAt;
          const { peakMb } = after;
          return [
            { case: asked, system: peer.name, orders, elapsedMs, cpuMs, peakMb, p50Ms: at(0.5), p99Ms: at(0.99) },
          ];
        } finally {
          await running.stop();
        }
      }),
  };
}
