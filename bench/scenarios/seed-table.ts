import { type Peer, RunningPeer } from '../peer.ts';
import { celery } from '../peers/celery.ts';
import { type HandlerName, orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { usageOf } from '../process-tree.ts';
import { type Measured, memory, once, type Run, type Scenario, seconds } from '../scenario.ts';
import { onStage } from '../stage.ts';
import { atMost } from '../summary.ts';
import { within } from '../trial.ts';

type Work = 'without I/O' | 'waiting 5 s' | 'HTTP of 5 s';

interface TableRow {
  /** As the article names it: processes that publish, and jobs of each. */
  readonly publishers: number;
  readonly jobs: number;
  readonly work: Work;
}

const IDLE: readonly TableRow[] = [
  [5, 100],
  [5, 200],
  [10, 200],
  [20, 200],
  [10, 300],
].map(([publishers, jobs]) => ({ publishers: publishers as number, jobs: jobs as number, work: 'without I/O' }));
const BLOCKING: readonly TableRow[] = [10, 20].map((publishers) => ({ publishers, jobs: 300, work: 'waiting 5 s' }));
const CALLING: readonly TableRow[] = BLOCKING.map((row) => ({ ...row, work: 'HTTP of 5 s' }));

const MERCHANTS = 600;
const WARMUP = 600;
const MOST_JOBS = 6000;
const LATENCY_MS = 5_000;
/** Of a job that calls nobody. */
const JOB_BYTES = 300;

const label = ({ publishers, jobs, work }: TableRow): string => `${publishers} x ${jobs} jobs ${work}`;
const CALLS = label(CALLING[1] as TableRow);
const MOST_WAITING = label(BLOCKING[1] as TableRow);
const DOORDASH_S = 5.25;

export const seedTable: Scenario = {
  name: 'seed-table',
  describe: `the table of DoorDash's second article: first publish to last completion, ${MERCHANTS} merchants, systems warm`,
  figures: [seconds, memory],
  runs: (quick) => {
    const blocks: readonly (readonly [Work, readonly TableRow[], readonly Peer[]])[] = [
      ['without I/O', IDLE, systems('noop')],
      ['waiting 5 s', BLOCKING, systems('wait')],
      ['HTTP of 5 s', CALLING, systems()],
    ];
    return blocks.flatMap(([work, rows, peers]) =>
      peers
        .filter(({ name }) => !quick || work === 'without I/O' || /^(plain|orderlane)/.test(name))
        .flatMap((peer) => {
          const isCelery = peer.name.startsWith('Celery');
          // 6,000 jobs of 5 s take 200 green threads two and a half minutes, twice what 3,000 take.
          const asked = peer.name.endsWith(' 200') && work !== 'without I/O' ? rows.slice(0, 1) : rows;
          const planned = run(peer, work, quick ? rows.slice(-1) : asked);
          return isCelery ? once([planned]) : planned;
        }),
    );
  },
  // The one figure of theirs that we can quote from a text we have seen.
  quoted: [{ case: MOST_WAITING, system: 'DoorDash: Kafka, gevent', says: `${DOORDASH_S} s, as published` }],
  goals: (summary) => [
    atMost(summary.median(seconds, MOST_WAITING, 'orderlane'), DOORDASH_S, '6,000 waiting jobs of 5 s', ' s'),
    atMost(summary.ratio(seconds, CALLS, 'orderlane', 'plain amqplib + got'), 1, '6,000 calls of 5 s over plain got'),
  ],
};

function systems(handler?: Extract<HandlerName, 'noop' | 'wait'>): readonly Peer[] {
  const does = handler ?? 'post';
  const byHand = { noop: 'ack', wait: 'wait', post: 'got' } as const;
  // Four processes need 62 minutes for 3,000 jobs of 5 s, which nobody need measure.
  const prefork = does === 'noop' ? [celery('prefork', does, 4)] : [];
  return [plain(byHand[does]), orderlane({ handler }), ...prefork, celery('gevent', does, 200), celery('gevent', does)];
}

/** A system is started once and then given one row of the table after the other. */
function run(peer: Peer, work: Work, rows: readonly TableRow[]): Run {
  const calls = work === 'HTTP of 5 s';
  return {
    system: peer.name,
    label: `jobs ${work}: ${peer.name}`,
    measure: (pair) =>
      onStage(peer, calls ? { latencyMs: LATENCY_MS } : undefined, async ({ inbox, merchants, job }) => {
        const running = new RunningPeer(peer, job({ warmup: 0, orders: 0, concurrency: MOST_JOBS }));
        try {
          const done = (orders: number): Promise<number> =>
            within(running, merchants?.accepted(orders) ?? running.ended(orders));
          const jobs = { merchants: MERCHANTS, ...(calls ? {} : { bytes: JOB_BYTES }) };
          let published = WARMUP;
          await inbox.publish({ ...jobs, orders: published, seed: 100 + pair });
          await done(published);
          const measured: Measured[] = [];
          for (const row of rows) {
            const orders = row.publishers * row.jobs;
            const before = usageOf(running.pid);
            const batch = inbox.publish({ ...jobs, orders, seed: pair });
            published += orders;
            const [{ begunAt }, endedAt] = await Promise.all([batch, done(published)]);
            const after = usageOf(running.pid);
            const cpuMs = after.cpuMs - before.cpuMs;
            const elapsedMs = endedAt - begunAt;
            measured.push({ case: label(row), system: peer.name, orders, elapsedMs, cpuMs, peakMb: after.peakMb });
          }
          return measured;
        } finally {
          await running.stop();
        }
      }),
  };
}
