import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { onInterrupt } from './interrupt.ts';

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
  /** PEM file: the authority that signed the merchants' certificate, when the URL is https. */
  readonly ca?: string;
}

/**
 * A system that is measured, as a process of its own. Where it runs code of ours, that says on standard output how many orders
 * it has begun and ended since it last said so: `{"at": "orders", "began": ..., "ended": ..., "ms": ...}`, `ms` the wall clock
 * when the last one ended (mark.ts).
 */
export interface Peer {
  readonly name: string;
  /** Its arguments, after `program`. */
  command(job: Job): readonly string[];
  /** @default this Node */
  readonly program?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** It takes Celery tasks from the queue `<queue>.celery` instead of orders. */
  readonly takesTasks?: true;
  /** A process that runs beside it and is not measured, as Node's arguments. */
  beside?(job: Job): readonly string[];
}

/** So much of what it says of errors is kept, in characters. */
const SAID = 2000;
const STOP_LIMIT_MS = 40_000;
/** Who tells of no order for so long does not work. */
const STALLED_MS = 90_000;

interface Awaited {
  readonly of: 'began' | 'ended';
  readonly orders: number;
  readonly reached: PromiseWithResolvers<number>;
}

export class RunningPeer {
  readonly pid: number;
  /** Rejects when it ends, with what it said last. */
  readonly gone: Promise<never>;
  readonly #child: ChildProcess;
  readonly #beside: ChildProcess | undefined;
  readonly #exited: Promise<unknown>;
  readonly #undone: () => void;
  readonly #stalled: NodeJS.Timeout | undefined;
  readonly #counts = { began: 0, ended: 0 };
  #lastMs = 0;
  #awaited: Awaited[] = [];

  /** `onLine` is given each line of standard output that is no mark. */
  constructor(peer: Peer, job: Job, onLine: (line: string) => void = () => undefined) {
    const env = { ...process.env, ...peer.env, BENCH_JOB: JSON.stringify(job), ...trusting(job) };
    // In groups of their own: Ctrl-C in the terminal is for us, and Celery's children end with it.
    const child = spawn(peer.program ?? process.execPath, [...peer.command(job)], {
      detached: true,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const beside = peer.beside?.(job);
    if (beside !== undefined) {
      this.#beside = spawn(process.execPath, [...beside], { detached: true, stdio: ['ignore', 'ignore', 'inherit'] });
    }
    this.#child = child;
    this.pid = child.pid as number;
    this.#exited = once(child, 'exit');
    this.#undone = onInterrupt(() => this.#kill());
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-SAID);
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const mark = markOf(line);
      if (mark === undefined) onLine(line);
      else this.#count(mark);
    });
    const gone = Promise.withResolvers<never>();
    this.gone = gone.promise;
    this.gone.catch(() => undefined); // heard by whoever waits for something of it, or nobody
    // Where there are merchants, they tell; the built-in forwarder does not.
    if (job.url === undefined) {
      this.#stalled = setTimeout(() => {
        gone.reject(new Error(`${peer.name} has told of no order for ${STALLED_MS / 1000} s: ${said}`));
      }, STALLED_MS);
    }
    child.once('exit', (code, signal) => {
      clearTimeout(this.#stalled);
      gone.reject(new Error(`${peer.name} ended with ${signal ?? `code ${code}`}: ${said}`));
    });
  }

  /** When it had begun so many orders since its start, in milliseconds since the epoch. */
  began(orders: number): Promise<number> {
    return this.#until('began', orders);
  }

  /** When it had ended so many. */
  ended(orders: number): Promise<number> {
    return this.#until('ended', orders);
  }

  /** When the process is gone, in milliseconds since the epoch. Safe twice. */
  async stop(): Promise<number> {
    this.#beside?.kill('SIGTERM');
    this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#kill(), STOP_LIMIT_MS);
    await this.#exited;
    const at = Date.now();
    clearTimeout(late);
    this.#undone();
    return at;
  }

  #kill(): void {
    for (const { pid } of [this.#child, this.#beside ?? this.#child]) {
      try {
        process.kill(-(pid as number), 'SIGKILL');
      } catch {
        // Nobody of its group is left.
      }
    }
  }

  #until(of: 'began' | 'ended', orders: number): Promise<number> {
    const reached = Promise.withResolvers<number>();
    this.#awaited.push({ of, orders, reached });
    this.#settle();
    return Promise.race([reached.promise, this.gone]);
  }

  #count({ began, ended, ms }: Mark): void {
    this.#counts.began += began;
    this.#counts.ended += ended;
    this.#stalled?.refresh();
    this.#lastMs = Math.max(this.#lastMs, ms);
    this.#settle();
  }

  #settle(): void {
    this.#awaited = this.#awaited.filter(({ of, orders, reached }) => {
      if (this.#counts[of] < orders) return true;
      reached.resolve(of === 'began' ? Date.now() : this.#lastMs);
      return false;
    });
  }
}

/** Node and Python's requests are told by the environment whom to trust. */
function trusting({ ca }: Job): Readonly<Record<string, string>> {
  return ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: ca, REQUESTS_CA_BUNDLE: ca };
}

interface Mark {
  readonly began: number;
  readonly ended: number;
  readonly ms: number;
}

function markOf(line: string): Mark | undefined {
  return line.startsWith('{"at":') ? (JSON.parse(line) as Mark) : undefined;
}
