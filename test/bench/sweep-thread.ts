import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Sweep, sweep } from '../../bench/simulation/faults/sweep.ts';
import type { Outcome } from '../../bench/simulation/faults/world.ts';

/**
 * Runs seeds until one of them finds something. On a thread, because `node:test` follows every promise that is made on its
 * own, which makes a simulation twenty times as slow.
 */
export function untilFound(plan: Sweep): Promise<readonly Outcome[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: plan });
    worker.once('message', (outcomes: readonly Outcome[]) => {
      resolve(outcomes);
      // A world that broke is left where it stood: what it still waits for would keep the thread, and the test, for ever.
      if (plan.broken !== undefined) void worker.terminate();
    });
    worker.once('error', reject);
  });
}

if (!isMainThread) {
  const outcomes: Outcome[] = [];
  for await (const outcome of sweep(workerData as Sweep)) {
    outcomes.push(outcome);
    if (outcome.finding !== undefined) break;
  }
  parentPort?.postMessage(outcomes);
}
