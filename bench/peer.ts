import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** What a system under test is told. */
export interface Job {
  readonly broker: string;
  readonly queue: string;
  /** How many orders it will be given. */
  readonly orders: number;
  /** Calls in flight, or prefetch. */
  readonly concurrency: number;
  /** Where merchants are, `{merchantId}` in it; absent when nothing is sent. */
  readonly url?: string;
}

/**
 * A system that is measured, as a process of its own. It says what it does on standard output, a JSON object a line:
 * `{"at": "first", "ms": ...}` when it has the first order and `{"at": "last", ...}` when it is through with the last one,
 * `ms` on the machine's monotonic clock.
 */
export interface Peer {
  readonly name: string;
  command(job: Job): readonly string[];
}

export interface Marks {
  readonly firstMs: number;
  readonly lastMs: number;
}

export class RunningPeer {
  readonly marks: Promise<Marks>;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(peer: Peer, job: Job) {
    const child = spawn(process.execPath, [...peer.command(job)], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.pid = child.pid as number;
    this.#exited = once(child, 'exit');
    const errors: string[] = [];
    child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk.toString()));
    this.marks = new Promise((resolve, reject) => {
      let firstMs: number | undefined;
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
        const mark = markOf(line);
        if (mark?.at === 'first') firstMs = mark.ms;
        if (mark?.at === 'last' && firstMs !== undefined) resolve({ firstMs, lastMs: mark.ms });
      });
      child.once('exit', (code) =>
        reject(new Error(`${peer.name} ended with code ${code}: ${errors.join('').slice(-2000)}`)),
      );
    });
    this.marks.catch(() => undefined); // heard by whoever waits for them, or nobody
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
