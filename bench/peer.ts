import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** What a system under test is told. */
export interface Job {
  readonly broker: string;
  readonly queue: string;
  /** Orders that come first and are not measured. */
  readonly warmup: number;
  /** Orders that are measured. */
  readonly orders: number;
  /** Calls in flight, or prefetch. */
  readonly concurrency: number;
  /** Where merchants are, `{merchantId}` in it; absent when nothing is sent. */
  readonly url?: string;
}

/**
 * A system that is measured, as a process of its own. It says what it does on standard output, a JSON object a line:
 * `{"at": "first", "ms": ...}` when it has the first order after the warm-up and `{"at": "last", ...}` when it is through with
 * the last one, `ms` on the machine's monotonic clock.
 */
export interface Peer {
  readonly name: string;
  command(job: Job): readonly string[];
}

/** So much of what it says of errors is kept, in characters. */
const SAID = 2000;

export class RunningPeer {
  readonly first: Promise<number>;
  readonly last: Promise<number>;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  /** `onLine` is given each line of standard output that is no mark. */
  constructor(peer: Peer, job: Job, onLine: (line: string) => void = () => undefined) {
    const child = spawn(process.execPath, [...peer.command(job)], {
      env: { ...process.env, BENCH_JOB: JSON.stringify(job) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.pid = child.pid as number;
    this.#exited = once(child, 'exit');
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-SAID);
    });
    const first = Promise.withResolvers<number>();
    const last = Promise.withResolvers<number>();
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const mark = markOf(line);
      if (mark === undefined) onLine(line);
      if (mark?.at === 'first') first.resolve(mark.ms);
      if (mark?.at === 'last') last.resolve(mark.ms);
    });
    child.once('exit', (code) => {
      const failure = new Error(`${peer.name} ended with code ${code}: ${said}`);
      first.reject(failure);
      last.reject(failure);
    });
    this.first = first.promise;
    this.last = last.promise;
    // Heard by whoever waits for them, or nobody.
    this.first.catch(() => undefined);
    this.last.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#exited;
  }
}

function markOf(line: string): { readonly at: string; readonly ms: number } | undefined {
  if (!line.startsWith('{"at":')) return undefined;
  return JSON.parse(line) as { at: string; ms: number };
}
