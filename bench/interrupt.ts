/** What must not outlive this process, whatever ends it by a signal. Broker and merchants see by themselves that it is gone. */
const undone = new Set<() => void>();

/** Does this when the benchmark is interrupted; returns what takes it back. */
export function onInterrupt(undo: () => void): () => void {
  undone.add(undo);
  return () => void undone.delete(undo);
}

/** Ctrl-C and SIGTERM end the benchmark at once, with everything that it has started. */
export function endOnSignals(): void {
  const end = (signal: 'SIGINT' | 'SIGTERM'): void => {
    for (const undo of undone) undo();
    process.stderr.write(
      '\ninterrupted; what is measured so far is in the result files, and --resume goes on from there\n',
    );
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('SIGINT', end).once('SIGTERM', end);
}
