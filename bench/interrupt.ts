import { constants } from 'node:os';

/** What must not outlive this process, whatever ends it by a signal. Broker and merchants see by themselves that it is gone. */
const undone = new Set<() => void>();

/** Does this when the benchmark is interrupted; returns what takes it back. */
export function onInterrupt(undo: () => void): () => void {
  undone.add(undo);
  return () => void undone.delete(undo);
}

/**
 * Ctrl-C, SIGTERM and a closed terminal end the benchmark at once, and so does an error that nobody expected: with
 * everything that it has started.
 */
export function endOnSignals(): void {
  process.once('exit', () => {
    for (const undo of undone) undo();
  });
  const end = (signal: NodeJS.Signals): void => {
    process.stderr.write(
      '\ninterrupted; what is measured so far is in the result files, and --resume goes on from there\n',
    );
    process.exit(128 + constants.signals[signal]);
  };
  // Not once: a second one that comes while this process ends would end it before it has undone anything.
  process.on('SIGINT', end).on('SIGTERM', end).on('SIGHUP', end);
}
