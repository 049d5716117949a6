import { type Peer, RunningPeer } from '../peer.ts';
import { celery } from '../peers/celery.ts';
import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { usageOf } from '../process-tree.ts';
import { type Figure, type Measured, memory, once, type Run, type Scenario } from '../scenario.ts';
import { onStage } from '../stage.ts';
import { atMost } from '../summary.ts';
import { within } from '../trial.ts';

const START = 'start';
const EXIT = 'exit with 1,000 calls in flight';
const CALLS = 1000;
/** With room: the last calls of a budget go to merchants that have the fewest. */
const CONCURRENCY = 1100;
const LATENCY_MS = 5_000;

/** Both cases put their time here: to the first answer, or from the last answer to the end of the process. */
const latency: Figure = { name: 'time', unit: ' s', digits: 2, of: (run) => (run.exitMs ?? run.elapsedMs) / 1000 };

/** Who ends without waiting for its calls ends soon. */
const answered: Figure = { name: 'orders answered', unit: '', digits: 0, of: (run) => run.orders };

export const start: Scenario = {
  name: 'start',
  describe:
    'from process start to the first order accepted; from SIGTERM on, how long the process outlives its last call',
  figures: [latency, answered, memory],
  runs: () => [
    ...[plain('got'), orderlane()].flatMap((peer) => [starting(peer), ending(peer)]),
    ...once([celery('gevent', 'post', CALLS)].flatMap((peer) => [starting(peer), ending(peer)])),
  ],
  goals: (summary) => [
    atMost(summary.median(latency, START, 'orderlane'), 1, 'first order after process start', ' s'),
    atMost(summary.median(latency, EXIT, 'orderlane'), 1, "exit after the last call's end", ' s'),
  ],
};

function starting(peer: Peer): Run {
  return {
    system: peer.name,
    label: `${START}: ${peer.name}`,
    measure: (pair) =>
      onStage(peer, { latencyMs: 0 }, async ({ inbox, merchants, job }): Promise<readonly Measured[]> => {
        await inbox.publish({ orders: 1, merchants: 1, seed: pair });
        peer.command(job({ warmup: 0, orders: 1, concurrency: CONCURRENCY })); // installs what is missing, before the clock starts
        const begun = Date.now();
        const running = new RunningPeer(peer, job({ warmup: 0, orders: 1, concurrency: CONCURRENCY }));
        try {
          const first = await within(running, (merchants as NonNullable<typeof merchants>).accepted(1));
          const { cpuMs, peakMb } = usageOf(running.pid);
          return [{ case: START, system: peer.name, orders: 1, elapsedMs: first - begun, cpuMs, peakMb }];
        } finally {
          await running.stop();
        }
      }),
  };
}

function ending(peer: Peer): Run {
  return {
    system: peer.name,
    label: `${EXIT}: ${peer.name}`,
    measure: (pair) =>
      onStage(peer, { latencyMs: LATENCY_MS }, async ({ inbox, merchants, job }): Promise<readonly Measured[]> => {
        const sent = merchants as NonNullable<typeof merchants>;
        await inbox.publish({ orders: CALLS, merchants: CALLS, seed: pair });
        const running = new RunningPeer(peer, job({ warmup: 0, orders: CALLS, concurrency: CONCURRENCY }));
        try {
          await within(running, sent.inFlight(CALLS));
          const { cpuMs, peakMb } = usageOf(running.pid);
          const asked = Date.now();
          const gone = await running.stop();
          const answers = (await sent.receipts()).map(({ acceptedAt }) => acceptedAt ?? 0);
          // Who ends without waiting for the calls has none that was answered after that.
          const exitMs = Math.max(0, gone - Math.max(asked, ...answers));
          const accepted = answers.filter((at) => at > 0).length;
          return [{ case: EXIT, system: peer.name, orders: accepted, elapsedMs: gone - asked, cpuMs, peakMb, exitMs }];
        } finally {
          await running.stop();
        }
      }),
  };
}
