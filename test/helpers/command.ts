import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { launch } from '../cli/command-line.ts';
import { LogLines } from './log-lines.ts';
import type { Scope } from './worker.ts';

export interface Command {
  readonly pid: number;
  /** Its standard output. */
  readonly log: LogLines;
  /** Resolves with the exit code, or the signal that ended it, once its output has ended too. */
  readonly ended: Promise<number | NodeJS.Signals>;
  readonly stderr: () => string;
  /** Its standard error, line by line. */
  readonly errors: LogLines;
  signal(name: NodeJS.Signals): void;
}

/** `orderlane` as a process of its own, whose log is followed; killed in the end, if it still runs. */
export function startCommand(
  scope: Scope,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Command {
  const child: ChildProcess = launch(args, env);
  const log = new LogLines();
  const errors = new LogLines();
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => errors.add(line));
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => log.add(line));
  const ended = once(child, 'close').then(([code, signal]) => {
    const end = (code ?? signal) as number | NodeJS.Signals;
    const why = `the process ended with ${end}, and said on standard error: ${stderr}`;
    log.over(why);
    errors.over(why);
    return end;
  });
  scope.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    pid: child.pid as number,
    log,
    ended,
    stderr: () => stderr,
    errors,
    signal: (name) => void child.kill(name),
  };
}
