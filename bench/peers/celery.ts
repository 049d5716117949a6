import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Job, Peer } from '../peer.ts';
import { tasksQueue } from '../task.ts';

const path = (to: string): string => fileURLToPath(new URL(to, import.meta.url));
const VENV = path('../../.tools/celery');

/**
 * A Celery worker. Its settings are in celery_app.py; `concurrency` is the pool's size, by default the job's. It takes tasks from a
 * queue of its own.
 */
export function celery(
  pool: 'prefork' | 'gevent',
  does: 'post' | 'wait' | 'noop' = 'post',
  concurrency?: number,
): Peer {
  return {
    name: concurrency === undefined ? `Celery ${pool}` : `Celery ${pool} ${concurrency}`,
    program: `${VENV}/bin/celery`,
    env: { BENCH_DOES: does, PYTHONDONTWRITEBYTECODE: '1' },
    takesTasks: true,
    command: (job: Job) => {
      execFileSync(path('../../scripts/install-celery.sh'), { stdio: ['ignore', 'ignore', 'inherit'] });
      const size = String(concurrency ?? job.concurrency);
      const app = ['--workdir', path('.'), '-A', 'celery_app'];
      const quiet = ['--without-gossip', '--without-mingle', '--without-heartbeat', '-l', 'WARNING'];
      return [...app, 'worker', '-P', pool, '-c', size, '-Q', tasksQueue(job.queue), ...quiet];
    },
  };
}

/** The same, and beside it a relay that makes tasks of the orders that are published for the others. */
export function relayed(peer: Peer): Peer {
  return { ...peer, beside: (job: Job) => [path('./celery-relay.ts'), JSON.stringify(job)] };
}
