import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { type Bindings, type ChildLoggerOptions, type Logger, type LoggerOptions, pino } from 'pino';
import type { prettyFactory } from 'pino-pretty';
import { messageOf } from './errors.ts';
import { LogSink, standardOutput } from './log-sink.ts';
import { brief } from './outcome.ts';
import { REDACTED, redact } from './redact.ts';

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

/** Our fields, whose value is shown when it is a plain value or an array of such. */
const PLAIN: ReadonlySet<string> = new Set(
  (
    'shard merchant order attempt identity hop outcome reason detail status code signal version ' +
    'queue exchange broker address host port url path handler file state ' +
    'delayMs timeoutMs durationMs latencyMs waitedMs ageMs retryAfterMs deadlineMs lateMs ' +
    'received delivered retried deferred deadLettered parked joined dropped unfinished ' +
    'inFlight waiting handed sending settling unsettled unsettledBytes bytes count entries merchants ' +
    'crashes returns restarts epoch concurrency merchantConcurrency prefetch limit utilization'
  ).split(' '),
);
/** A handler may give any other name to what a customer must not find in a log. */
const PLAIN_IN_THREAD: ReadonlySet<string> = new Set(['shard', 'merchant', 'order', 'attempt']);
/** Fields that we fill ourselves with figures, objects included. */
const FIGURES = new Set(['counts', 'outcomes', 'shards', 'slowest', 'memory']);
/** Fields that pino writes itself: a second one would make the line ambiguous. */
const RESERVED = new Set(['level', 'time', 'pid']);
/** Others choose these, and how long they are. */
const IDS = new Set(['merchant', 'order', 'identity']);
const MAX_ID = 200;

type Fields = Record<string, unknown>;

/** What of an error is shown. Errors of HTTP clients carry their options, headers and responses: none of that. */
function reduceError(thrown: unknown, withStack: boolean): Fields {
  const message = redact(messageOf(thrown));
  if (!(thrown instanceof Error)) return { type: typeof thrown, message };
  const { code } = thrown as { code?: unknown };
  return {
    type: thrown.name,
    message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(withStack && thrown.stack !== undefined ? { stack: redact(thrown.stack) } : {}),
  };
}

function isPlain(value: unknown): boolean {
  return Array.isArray(value)
    ? value.every((part) => typeof part !== 'object')
    : typeof value !== 'object' || value === null;
}

/** Figures may carry reasons, and a reason what others put into messages. */
function cleanFigures(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(cleanFigures);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, cleanFigures(part)]));
}

function showsStacks(level: string): boolean {
  return level === 'debug' || level === 'trace';
}

/** The allowlist: known fields pass, all others keep their name and lose their value. */
function allowlist(level: string, plain: ReadonlySet<string>, extra: readonly string[]): (fields: object) => Fields {
  const figures = plain === PLAIN ? FIGURES : new Set<string>();
  const shownAsIs = new Set([...figures, ...extra]);
  const withStack = showsStacks(level);
  return (fields) => {
    const allowed: Fields = {};
    for (const [name, value] of Object.entries(fields)) {
      if (RESERVED.has(name) || value === undefined) continue;
      if (name === 'err') allowed[name] = reduceError(value, withStack);
      else if (shownAsIs.has(name)) allowed[name] = figures.has(name) ? cleanFigures(value) : value;
      else if (!plain.has(name) || !isPlain(value)) allowed[name] = REDACTED;
      else if (typeof value !== 'string') allowed[name] = value;
      else allowed[name] = redact(IDS.has(name) ? brief(value, MAX_ID) : value);
    }
    return allowed;
  };
}

function createLogger(
  level: string,
  plain: ReadonlySet<string>,
  extra: readonly string[],
  bindings: object,
  write: (line: string) => void,
): Logger {
  const allow = allowlist(level, plain, extra);
  const options: LoggerOptions = {
    level,
    base: { pid: process.pid, ...allow(bindings) },
    formatters: { log: allow },
    serializers: { err: (reduced: unknown) => reduced, msg: redact },
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
  return createLogger(options.level, PLAIN_IN_THREAD, options.fields, options.bindings, (line) => options.write(line));
}

export function createLog(options: {
  level: string;
  format: 'pretty' | 'json';
  fields: readonly string[];
  /** Takes finished text instead of standard output; for tests. */
  destination?: (text: string) => void;
}): Log {
  const { level, format, fields, destination } = options;
  const sink = destination === undefined ? new LogSink(standardOutput(), reportDropped) : undefined;
  const put = destination ?? ((text: string) => sink?.write(text));
  const prettify = format === 'pretty' ? prettifier(level, destination === undefined && isatty(1)) : undefined;
  const write = prettify === undefined ? put : (line: string) => put(prettify(line));
  const logger = createLogger(level, PLAIN, fields, {}, write);

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
