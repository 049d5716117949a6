import { constants, openSync, write, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

/** Bytes waiting for a slow reader. What comes on top is dropped and counted. */
const MAX_BUFFERED = 16 * 2 ** 20;
const FLUSH_MS = 1000;
/** A full pipe is tried again after 1 ms, then 2, 4 and so on up to this. */
const MAX_PAUSE_MS = 64;

/**
 * A descriptor of standard output on which no write blocks. A blocked one would hold a thread of libuv's pool, which all
 * threads share, and Node waits for that pool when it exits.
 */
export function standardOutput(): number {
  if (isatty(1)) {
    try {
      // One of our own, because O_NONBLOCK on the shared one would be seen by the shell too. libuv does the same.
      return openSync('/dev/fd/1', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    } catch {
      return 1; // not ours to open, as after su: a terminal that is stopped with Ctrl-S then delays the exit
    }
  }
  // Creating this stream makes libuv set O_NONBLOCK on a pipe or a socket; Node restores it at exit. Files never block.
  return process.stdout.fd;
}

/**
 * Finished lines on their way to a descriptor: a bounded buffer that nobody waits for. Not sonic-boom, because its
 * flushSync, which pino calls at exit, never returns when the reader is stuck or the disk is full, and because a full pipe
 * costs it 100 ms each time, which is 4 MB/s to a reader that could take hundreds.
 */
export class LogSink {
  readonly #fd: number;
  readonly #flowing: (dropped: number) => void;
  /** Lines that no write has taken yet. */
  #lines: string[] = [];
  /** What is being written, from `#offset` on; undefined when nothing is. */
  #chunk: Buffer | undefined;
  #offset = 0;
  #pauseMs = 0;
  /** Set while the pipe is full and will be tried again. */
  #retry: NodeJS.Timeout | undefined;
  #bytes = 0;
  #gone = false;
  #complained = false;
  #unreported = 0;
  #wake: (() => void) | undefined;
  dropped = 0;

  /** `flowing` is told how many lines were dropped, once the reader has caught up. */
  constructor(fd: number, flowing: (dropped: number) => void) {
    this.#fd = fd;
    this.#flowing = flowing;
    process.once('exit', () => this.#writeLast());
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#gone || this.#bytes + bytes > MAX_BUFFERED) {
      this.dropped++;
      this.#unreported++;
      return;
    }
    this.#bytes += bytes;
    this.#lines.push(line);
    if (this.#chunk === undefined) this.#next();
  }

  /** Takes all that has gathered as one chunk. */
  #next(): void {
    if (this.#lines.length > 0) {
      this.#chunk = Buffer.from(this.#lines.join(''));
      this.#offset = 0;
      this.#lines = [];
      this.#writeOn();
      return;
    }
    this.#chunk = undefined;
    const dropped = this.#unreported;
    this.#unreported = 0;
    if (dropped > 0) this.#flowing(dropped);
    this.#wake?.();
  }

  #writeOn(): void {
    const chunk = this.#chunk as Buffer;
    this.#retry = undefined;
    write(this.#fd, chunk, this.#offset, chunk.length - this.#offset, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, 1), MAX_PAUSE_MS);
        this.#retry = setTimeout(() => this.#writeOn(), this.#pauseMs);
        return;
      }
      this.#pauseMs = 0;
      if (error !== null) this.#failed(error);
      const done = error === null ? written : chunk.length - this.#offset; // what cannot be written is given up
      this.#bytes -= done;
      this.#offset += done;
      if (this.#offset < chunk.length) this.#writeOn();
      else this.#next();
    });
  }

  #failed(error: NodeJS.ErrnoException): void {
    // A reader that went away is no fault of ours. A full disk is worth saying, once, and standard error may still work.
    if (error.code === 'EPIPE') this.#gone = true;
    else if (!this.#complained) process.stderr.write(`orderlane: the log cannot be written: ${error.message}\n`);
    this.#complained = true;
  }

  async flush(): Promise<void> {
    const end = performance.now() + FLUSH_MS;
    while (this.#chunk !== undefined && performance.now() < end) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, end - performance.now());
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** At exit without a flush: as much as can be written without waiting. */
  #writeLast(): void {
    // A write that is under way is finished by Node; one that was put off is not.
    const putOff = this.#retry === undefined ? undefined : this.#chunk?.subarray(this.#offset);
    const rest = Buffer.concat([putOff ?? Buffer.alloc(0), Buffer.from(this.#lines.join(''))]);
    if (rest.length === 0) return;
    try {
      writeSync(this.#fd, rest);
    } catch {
      // The reader is stuck or gone: these lines end with the process.
    }
  }
}
