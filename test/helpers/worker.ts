import { createLog } from '../../src/log.ts';
import { completeOptions, type Options } from '../../src/options.ts';
import { type Running, start } from '../../src/run.ts';
import { LogLines } from './log-lines.ts';

/** Where a helper leaves what is to be done in the end: a test's context, or `{ after }` of node:test. */
export interface Scope {
  after(end: () => unknown): void;
}

export interface Worker extends Running {
  readonly log: LogLines;
}

/** `orderlane work` in this process; stopped in the end. Its log is at level debug. */
export async function startWorker(scope: Scope, options: Partial<Options>): Promise<Worker> {
  const complete = completeOptions({ allowHost: ['127.0.0.1'], shards: 2, ...options, logLevel: 'debug' });
  const log = new LogLines();
  const running = await start(
    complete,
    createLog({ level: 'debug', format: 'json', fields: complete.logFields, destination: (text) => log.add(text) }),
  );
  void running.done.then(({ error }) => log.over(`the worker ended (${error?.message ?? 'as asked'})`));
  scope.after(async () => {
    running.stop();
    await running.done;
  });
  return {
    log,
    done: running.done,
    drain: () => running.drain(),
    stop: () => running.stop(),
    stats: () => running.stats(),
  };
}
