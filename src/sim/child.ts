import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type ErrorCode, OrderlaneError } from '../errors.ts';

const TAIL_LINES = 20;
const STOP_LIMIT_MS = 35_000;
/** What the exit codes of our own commands mean, where it is more than that they failed. */
const BY_EXIT_CODE: Readonly<Record<number, ErrorCode>> = { 2: 'USAGE', 3: 'BROKER_UNREACHABLE' };

export interface ChildOptions {
  /** The command line's main module. */
  readonly main: string;
  readonly args: readonly string[];
  /** Each line of standard output. */
  readonly onLine?: (line: string) => void;
}

/**
 * One of orderlane's own commands as a process: in a group of its own, so that Ctrl-C in the terminal reaches its parent
 * alone, and with a channel to the parent, whose end makes it stop.
 */
export class Child {
  readonly name: string;
  /** Resolves with its exit code; null when a signal ended it. */
  readonly exited: Promise<number | null>;
  readonly #process: ChildProcess;
  readonly #tail: string[] = [];

  constructor({ main, args, onLine }: ChildOptions) {
    this.name = args[0] as string;
    // Our own settings are not the child's: it gets its own as flags.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ORDERLANE_')));
    this.#process = spawn(process.execPath, [...process.execArgv, main, ...args], {
      detached: true,
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.exited = once(this.#process, 'exit').then(([code]) => code as number | null);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      createInterface({ input: stream as NodeJS.ReadableStream }).on('line', (line) => {
        this.#tail.push(line);
        if (this.#tail.length > TAIL_LINES) this.#tail.shift();
        if (stream === this.#process.stdout) onLine?.(line);
      });
    }
  }

  /** The first line of standard output; rejects when the process ends before. */
  static async ready(options: ChildOptions): Promise<{ readonly child: Child; readonly line: string }> {
    const first = Promise.withResolvers<string>();
    const child = new Child({
      ...options,
      onLine: (line) => {
        first.resolve(line);
        options.onLine?.(line);
      },
    });
    void child.exited.then((code) => first.reject(child.failure(code)));
    return { child, line: await first.promise };
  }

  /** Why it ended, by what it said last. */
  failure(code: number | null): OrderlaneError {
    return new OrderlaneError(
      BY_EXIT_CODE[code ?? 0] ?? 'FATAL',
      `${this.name} ended with code ${code}:\n${this.#tail.join('\n')}`,
    );
  }

  /** Asks it to end, waits, and kills it if it does not. Safe twice. */
  async stop(): Promise<number | null> {
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_LIMIT_MS);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }
}
