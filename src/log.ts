import { constants, openSync, write, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { type Bindings, type ChildLoggerOptions, type Logger, type LoggerOptions, pino } from 'pino';
import type { prettyFactory } from 'pino-pretty';
import { messageOf } from './errors.ts';

/**
 * The log. Two rules: only fields that are known to be harmless are shown, and a reader that is slow or stuck stalls
 * nobody, neither while lines are written nor at exit.
 */
export interface Log {
  readonly logger: Logger;
  /** Takes a finished line from a thread. */
  write(line: string): void;
  /** Waits until all is written, but no longer than about a second. */
  flush(): Promise<void>;
  /** Lines that were dropped because the reader was too slow. */
  readonly dropped: number;
}

/** Fields whose value is shown when it is a plain value or an array of such. */
const PLAIN = new Set(
  (
    'shard merchant order attempt identity hop outcome reason detail status code signal version node ' +
    'queue exchange broker address host port url path handler file line event state mode ' +
    'delayMs timeoutMs durationMs latencyMs waitedMs ageMs retryAfterMs deadlineMs lateMs ' +
    'inFlight waiting handed sending settling unsettled unsettledBytes received delivered retried deferred deadLettered parked joined unfinished ' +
    'dropped bytes count entries merchants threads crashes restarts generation epoch concurrency merchantConcurrency prefetch limit utilization'
  ).split(' '),
);
/** Fields that we fill ourselves with figures, objects included. */
const FIGURES = new Set(['counts', 'outcomes', 'shards', 'slowest', 'memory']);
/** Fields that pino writes itself: a second one would make the line ambiguous. */
const RESERVED = new Set(['level', 'time', 'pid']);
const REDACTED = '[redacted]';

/** Lines waiting for a slow reader. More are dropped and counted. */
const MAX_BUFFERED = 16 * 2 ** 20;
const FLUSH_MS = 1000;
/** A full pipe is tried again after 1 ms, then 2, 4 and so on up to this. */
const MAX_PAUSE_MS = 64;

type Fields = Record<string, unknown>;

/** Takes out of a text what others put into messages: credentials in URLs, and what JSON.parse quotes of its input. */
function clean(text: string): string {
  return text
    .replace(/(\w:\/\/)[^\s/'"]*@/g, `$1${REDACTED}@`)
    .replace(/(\w:\/\/[^\s?'"]*)\?[^\s'"]*/g, `$1?${REDACTED}`)
    .replace(/(?:\.\.\.)?".*"(?:\.\.\.)? is not valid JSON/s, `${REDACTED} is not valid JSON`);
}

/** What of an error is shown. Errors of HTTP clients carry their options, headers and responses: none of that. */
function reduceError(thrown: unknown, withStack: boolean): Fields {
  const message = clean(messageOf(thrown));
  if (!(thrown instanceof Error)) return { type: typeof thrown, message };
  const { code } = thrown as { code?: unknown };
  return {
    type: thrown.name,
    message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(withStack && thrown.stack !== undefined ? { stack: clean(thrown.stack) } : {}),
  };
}

function isPlain(value: unknown): boolean {
  return Array.isArray(value)
    ? value.every((part) => typeof part !== 'object')
    : typeof value !== 'object' || value === null;
}

function showsStacks(level: string): boolean {
  return level === 'debug' || level === 'trace';
}

/** The allowlist: known fields pass, all others keep their name and lose their value. */
function allowlist(level: string, extra: readonly string[]): (fields: object) => Fields {
  const shownAsIs = new Set([...FIGURES, ...extra]);
  const withStack = showsStacks(level);
  return (fields) => {
    const allowed: Fields = {};
    for (const [name, value] of Object.entries(fields)) {
      if (RESERVED.has(name) || value === undefined) continue;
      if (name === 'err') allowed[name] = reduceError(value, withStack);
      else if (shownAsIs.has(name)) allowed[name] = value;
      else if (!PLAIN.has(name) || !isPlain(value)) allowed[name] = REDACTED;
      else allowed[name] = typeof value === 'string' ? clean(value) : value;
    }
    return allowed;
  };
}

function createLogger(
  level: string,
  extra: readonly string[],
  bindings: object,
  write: (line: string) => void,
): Logger {
  const allow = allowlist(level, extra);
  const options: LoggerOptions = {
    level,
    base: { pid: process.pid, ...allow(bindings) },
    formatters: { log: allow },
    serializers: { err: (reduced: unknown) => reduced, msg: clean },
  };
  const logger = pino(options, { write });
  // pino does not format a child's bindings, and a child's own formatters and serializers would undo ours.
  const child = Reflect.get(logger, 'child') as unknown as (
    this: Logger,
    fields: Bindings,
    options?: ChildLoggerOptions,
  ) => Logger;
  const setBindings = Reflect.get(logger, 'setBindings') as (this: Logger, fields: Bindings) => void;
  return Object.assign(logger, {
    child(this: Logger, fields: Bindings, options?: ChildLoggerOptions): Logger {
      const { level: own, msgPrefix } = options ?? {};
      const kept = { ...(own === undefined ? {} : { level: own }), ...(msgPrefix === undefined ? {} : { msgPrefix }) };
      return child.call(this, allow(fields), options === undefined ? undefined : kept);
    },
    setBindings(this: Logger, fields: Bindings): void {
      setBindings.call(this, allow(fields));
    },
  });
}

/** A thread's logger: its lines go to the main thread, where `Log.write` takes them. */
export function createThreadLogger(options: {
  level: string;
  fields: readonly string[];
  bindings: object;
  write(line: string): void;
}): Logger {
  return createLogger(options.level, options.fields, options.bindings, (line) => options.write(line));
}

/**
 * A descriptor of standard output on which no write blocks. A blocked one would hold a thread of libuv's pool, which all
 * threads share, and Node waits for that pool when it exits.
 */
function standardOutput(): number {
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
class Sink {
  readonly #fd: number;
  readonly #flowing: (dropped: number) => void;
  /** Lines that no write has taken yet. */
  #lines: string[] = [];
  /** What is being written, from `#offset` on; undefined when nothing is. */
  #chunk: Buffer | undefined;
  #offset = 0;
  /** Set while the pipe is full and will be tried again. */
  #pauseMs = 0;
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
    write(this.#fd, chunk, this.#offset, chunk.length - this.#offset, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, 1), MAX_PAUSE_MS);
        setTimeout(() => this.#writeOn(), this.#pauseMs);
        return;
      }
      this.#pauseMs = 0;
      if (error !== null) this.#failed(error);
      this.#bytes -= error === null ? written : chunk.length - this.#offset;
      this.#offset += error === null ? written : chunk.length - this.#offset;
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
    try {
      // A write that is under way is finished by Node; one that was put off is not.
      if (this.#pauseMs > 0 && this.#chunk !== undefined) writeSync(this.#fd, this.#chunk, this.#offset);
      else if (this.#lines.length > 0) writeSync(this.#fd, this.#lines.join(''));
    } catch {
      // The reader is stuck or gone: these lines end with the process.
    }
  }
}

export function createLog(options: {
  level: string;
  format: 'pretty' | 'json';
  fields: readonly string[];
  /** Takes finished text instead of standard output; for tests. */
  destination?: (text: string) => void;
}): Log {
  const { level, format, fields, destination } = options;
  const sink = destination === undefined ? new Sink(standardOutput(), reportDropped) : undefined;
  const put = destination ?? ((text: string) => sink?.write(text));
  const prettify = format === 'pretty' ? prettifier(level, destination === undefined && isatty(1)) : undefined;
  const write = prettify === undefined ? put : (line: string) => put(prettify(line));
  const logger = createLogger(level, fields, {}, write);

  function reportDropped(dropped: number): void {
    logger.warn({ dropped }, `${dropped} log lines were dropped: the log's reader was too slow`);
  }

  return {
    logger,
    write,
    flush: async () => sink?.flush(),
    get dropped() {
      return sink?.dropped ?? 0;
    },
  };
}

/** pino-pretty as a plain function; loaded only where it is wanted. */
function prettifier(level: string, colorize: boolean): (line: string) => string {
  const pretty = createRequire(import.meta.url)('pino-pretty') as { prettyFactory: typeof prettyFactory };
  const prettify = pretty.prettyFactory({
    colorize,
    singleLine: true,
    ignore: 'pid',
    translateTime: 'SYS:HH:MM:ss.l',
    errorLikeObjectKeys: showsStacks(level) ? ['err'] : [], // on lines of their own, which a stack needs
  });
  return (line) => prettify(line) ?? '';
}
