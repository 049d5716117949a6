import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isLoopback, parseAdminAddress } from './admin-address.ts';
import { messageOf, OrderlaneError } from './errors.ts';
import { jsonProblem } from './json-error.ts';
import { SETTINGS } from './option-table.ts';
import { culprit, expected, expectedTyped, fits, format, parse, shown, type Value } from './setting.ts';
import { didYouMean, nearest } from './spelling.ts';

/** Every setting of `orderlane work`, resolved: durations in milliseconds, sizes in bytes, all in range. */
export interface Options {
  /** Broker addresses, tried in turn. @default ['amqp://localhost'] */
  readonly broker: readonly string[];
  readonly brokerCa?: string;
  readonly brokerCert?: string;
  readonly brokerKey?: string;
  /** RabbitMQ's management API, to check what AMQP cannot show. */
  readonly managementUrl?: string;
  /** How long to try the broker at start. @default 30000 */
  readonly connectWaitMs: number;
  /** The queue to consume; the names of all others derive from it. @default 'orders' */
  readonly queue: string;
  /** `create` makes what is missing, `passive` makes nothing. @default 'create' */
  readonly declare: 'create' | 'passive';
  /** What is published to the exchange `<queue>.outcomes`: nothing, each order's end, or each attempt's as well. @default 'off' */
  readonly outcomes: 'off' | 'final' | 'all';
  /** Unsettled deliveries the broker may give us. @default 30000 */
  readonly prefetch: number;
  /** Body bytes of unsettled deliveries. @default 268435456 */
  readonly windowBytes: number;
  /** A larger message is dead-lettered. @default 1048576 */
  readonly maxMessageBytes: number;
  /** Orders in flight in the process. @default 4000 */
  readonly concurrency: number;
  /** Threads. @default cores less one, 2 to 8 */
  readonly shards: number;
  /** Orders in flight per merchant. @default 50 */
  readonly merchantConcurrency: number;
  /** Calls a merchant, such as `10/s`, where the directory does not tell; absent for no limit. */
  readonly merchantRate?: string;
  /** When calls to a merchant that does not answer are given up, where the directory does not tell; see BreakerSettings. @default 2 */
  readonly breakerFailures: number;
  /** @default 1 */
  readonly breakerProbes: number;
  /** @default 5000 */
  readonly breakerWaitMs: number;
  /** @default 60000 */
  readonly breakerMaxWaitMs: number;
  /** A shard whose event loop stands still for this long while it holds orders is replaced. @default 5000 */
  readonly threadTimeoutMs: number;
  /** An order to which this many threads were lost, or processes while it ran alone, is dead-lettered. @default 3 */
  readonly maxCrashes: number;
  /** Handler module; absent for the built-in forwarder. */
  readonly handler?: string;
  /** Merchant directory file. */
  readonly merchants?: string;
  /** URL template for all merchants, instead of a directory. */
  readonly url?: string;
  /** Hosts that may be plain HTTP or at a private address, besides the directory's. */
  readonly allowHost: readonly string[];
  /** JSON pointer to the merchant ID in the body. @default '/merchant_id' */
  readonly merchantKey: string;
  /** JSON pointer to the order ID in the body. @default '/id' */
  readonly orderIdKey: string;
  /** Longest attempt. @default 15000 */
  readonly timeoutMs: number;
  /** Longest name lookup, connect and TLS handshake together. @default 3000, or timeoutMs if that is less */
  readonly connectTimeoutMs: number;
  /** From publish; an order is never sent after it. @default 600000 */
  readonly deadlineMs: number;
  /** @default 6 */
  readonly maxAttempts: number;
  /** First retry delay; doubles, with full jitter. @default 1000 */
  readonly backoffMs: number;
  /** @default 60000 */
  readonly backoffMaxMs: number;
  /** Exit when nothing is left. @default false */
  readonly drain: boolean;
  /** From the first signal to the end. @default 25000 */
  readonly shutdownTimeoutMs: number;
  /** Where the admin endpoint listens, such as 127.0.0.1:9464; absent for none. */
  readonly admin?: string;
  /** File with the token of the admin endpoint. */
  readonly adminTokenFile?: string;
  /** Environment variable with it. */
  readonly adminTokenEnv?: string;
  /** @default 'info' */
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  /** @default pretty on a terminal, else json */
  readonly logFormat: 'pretty' | 'json';
  /** Log fields of handlers that are not redacted. @default [] */
  readonly logFields: readonly string[];
  /** How often a `stats` line is logged; 0 for never. @default 10000 */
  readonly statsIntervalMs: number;
}

type Key = keyof Options;
type Values = Partial<Record<Key, Value>>;

const KEYS = Object.keys(SETTINGS) as Key[];
const NAMES = new Map(KEYS.map((key) => [SETTINGS[key].name, key]));

/** Every setting that has a default, at it. */
export const DEFAULTS: Options = Object.freeze(
  Object.fromEntries(KEYS.flatMap((key) => ('default' in SETTINGS[key] ? [[key, SETTINGS[key].default]] : []))),
) as unknown as Options;

/** A config file: one JSON object, its keys the flags' names without dashes in front. */
export interface ConfigFile {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
}

export function readConfigFile(path: string): ConfigFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new OrderlaneError('USAGE', `config file ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch (error) {
    throw new OrderlaneError('USAGE', `config file ${path} is ${jsonProblem(error, text)}`, { cause: error });
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new OrderlaneError(
      'USAGE',
      `config file ${path}: expected an object such as {"queue": "orders"}; got ${shown(values)}`,
    );
  }
  return { path, values: values as Record<string, unknown> };
}

export function environmentName(name: string): string {
  return `ORDERLANE_${name.toUpperCase().replaceAll('-', '_')}`;
}

/**
 * A hint for every ORDERLANE_* variable that is none of ours but nearly is. Others are nobody's business: Kubernetes
 * injects ORDERLANE_PORT and more for a Service of that name.
 */
export function misspelledVariables(env: NodeJS.ProcessEnv): string[] {
  const known = new Map(
    [...NAMES.keys(), 'config'].map((name) => [environmentName(name).slice('ORDERLANE_'.length), name]),
  );
  return Object.keys(env).flatMap((variable) => {
    if (!variable.startsWith('ORDERLANE_') || /_(?:PORT|SERVICE_HOST|SERVICE_PORT)(?:_|$)/.test(variable)) return [];
    const near = nearest(variable.slice('ORDERLANE_'.length), known.keys());
    return near === undefined ? [] : [`${variable} is no setting and is ignored.${didYouMean(`ORDERLANE_${near}`)}`];
  });
}

/**
 * The options of a command line: a flag goes before the environment, the environment before the file, the file before the
 * default. Throws one USAGE error that names every bad value, where it came from and what was expected.
 */
export function resolveOptions(
  flags: Readonly<Record<string, unknown>>,
  env: NodeJS.ProcessEnv,
  file?: ConfigFile,
): Options {
  const gathered = new Gathered((key) => `--${SETTINGS[key].name}`);
  for (const key of KEYS) {
    const { name } = SETTINGS[key];
    const variable = environmentName(name);
    if (flags[name] !== undefined) gathered.read(key, `--${name}`, flags[name]);
    // Empty is unset, as compose files and shells have it.
    else if (env[variable] !== undefined && env[variable] !== '') gathered.read(key, variable, env[variable]);
    else if (file !== undefined && Object.hasOwn(file.values, name)) {
      gathered.read(key, `${name} in ${file.path}`, file.values[name], dirname(file.path));
    }
  }
  for (const name of Object.keys(file?.values ?? {})) {
    if (!NAMES.has(name)) {
      gathered.problems.push(`${name} in ${file?.path}: no such setting.${didYouMean(nearest(name, NAMES.keys()))}`);
    }
  }
  return gathered.finish();
}

/** The options of a program that uses orderlane as a library: checked in the same way, named as in `Options`. */
export function completeOptions(given: Partial<Options>): Options {
  const gathered = new Gathered((key) => key);
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(SETTINGS, key)) {
      gathered.problems.push(`${key}: no such option.${didYouMean(nearest(key, KEYS))}`);
    } else if (value !== undefined) gathered.take(key as Key, value);
  }
  return gathered.finish();
}

/** What was given so far, where each value came from, and what is wrong with it. */
class Gathered {
  readonly problems: string[] = [];
  readonly #values: Values = {};
  readonly #labels = new Map<Key, string>();
  readonly #bad = new Set<Key>();
  readonly #unlabelled: (key: Key) => string;

  constructor(unlabelled: (key: Key) => string) {
    this.#unlabelled = unlabelled;
  }

  /** Takes a value as it was written. Files named in a config file are relative to it. */
  read(key: Key, label: string, raw: unknown, folder?: string): void {
    const setting = SETTINGS[key];
    // A flag given twice: the last one counts, but for lists.
    const written = setting.type !== 'list' && Array.isArray(raw) && folder === undefined ? raw.at(-1) : raw;
    const value = parse(setting, written);
    if (value === undefined || !fits(setting, value))
      this.#refuse(key, label, expected(setting), culprit(setting, value) ?? written);
    else
      this.#accept(
        key,
        label,
        setting.type === 'file' && folder !== undefined ? resolve(folder, value as string) : value,
      );
  }

  /** Takes a value that has its type already. */
  take(key: Key, value: unknown): void {
    const setting = SETTINGS[key];
    if (fits(setting, value)) this.#accept(key, key, value as Value);
    else this.#refuse(key, key, expectedTyped(setting), culprit(setting, value) ?? value);
  }

  #accept(key: Key, label: string, value: Value): void {
    this.#values[key] = value;
    this.#labels.set(key, label);
  }

  #refuse(key: Key, label: string, expectation: string, came: unknown): void {
    this.#bad.add(key);
    this.problems.push(`${label}: expected ${expectation}; got ${shown(came, SETTINGS[key])}`);
  }

  finish(): Options {
    const options = { ...DEFAULTS, ...this.#values } as Options;
    const connectTimeoutMs = this.#labels.has('connectTimeoutMs')
      ? options.connectTimeoutMs
      : Math.min(options.connectTimeoutMs, options.timeoutMs);
    const complete = { ...options, connectTimeoutMs };
    for (const { keys, holds, say } of TOGETHER) {
      if (keys.some((key) => this.#bad.has(key)) || holds(complete)) continue;
      this.problems.push(say((key) => this.#describe(key, complete)));
    }
    if (this.problems.length === 0) return complete;
    const [only] = this.problems;
    const list = this.problems.map((problem) => `  ${problem}`).join('\n');
    const text =
      this.problems.length === 1 ? (only as string) : `${this.problems.length} problems with the settings:\n${list}`;
    throw new OrderlaneError('USAGE', text);
  }

  /** `--timeout (30s)`, `ORDERLANE_TIMEOUT (30s)`, `--shutdown-timeout (25s, the default)`, or the bare name of an absent one. */
  #describe(key: Key, options: Options): string {
    const label = this.#labels.get(key) ?? this.#unlabelled(key);
    const value = options[key];
    if (value === undefined) return label;
    return `${label} (${format(SETTINGS[key], value)}${this.#labels.has(key) ? '' : ', the default'})`;
  }
}

interface Rule {
  readonly keys: readonly Key[];
  readonly holds: (options: Options) => boolean;
  readonly say: (label: (key: Key) => string) => string;
}

function atMost(lower: Key, upper: Key, why: string): Rule {
  return {
    keys: [lower, upper],
    holds: (options) => (options[lower] as number) <= (options[upper] as number),
    say: (label) => `${label(lower)} is more than ${label(upper)}: ${why}`,
  };
}

/** What must hold between settings. */
const TOGETHER: readonly Rule[] = [
  atMost('timeoutMs', 'shutdownTimeoutMs', 'an attempt under way at a stop could not be finished'),
  atMost('timeoutMs', 'deadlineMs', 'no attempt could take that long'),
  atMost('connectTimeoutMs', 'timeoutMs', 'connecting is a part of the attempt'),
  atMost('breakerWaitMs', 'breakerMaxWaitMs', 'the first wait would be longer than the longest'),
  atMost('backoffMs', 'backoffMaxMs', 'the first delay would be longer than the longest'),
  atMost('maxMessageBytes', 'windowBytes', 'a message of that size would never fit'),
  {
    keys: ['brokerCert', 'brokerKey'],
    holds: ({ brokerCert, brokerKey }) => (brokerCert === undefined) === (brokerKey === undefined),
    say: (label) => `${label('brokerCert')} and ${label('brokerKey')} go together: expected both or neither; got one`,
  },
  {
    keys: ['broker', 'brokerCa', 'brokerCert', 'brokerKey'],
    holds: ({ broker, brokerCa, brokerCert, brokerKey }) =>
      (brokerCa ?? brokerCert ?? brokerKey) === undefined || broker.some((address) => address.startsWith('amqps:')),
    say: (label) =>
      `${label('broker')}: expected an amqps:// address, since a certificate, its authority or its key is given`,
  },
  {
    keys: ['adminTokenFile', 'adminTokenEnv'],
    holds: ({ adminTokenFile, adminTokenEnv }) => adminTokenFile === undefined || adminTokenEnv === undefined,
    say: (label) => `${label('adminTokenFile')} and ${label('adminTokenEnv')}: expected one of the two; got both`,
  },
  {
    keys: ['admin', 'adminTokenFile', 'adminTokenEnv'],
    holds: ({ admin, adminTokenFile, adminTokenEnv }) =>
      admin !== undefined || (adminTokenFile ?? adminTokenEnv) === undefined,
    say: (label) => `a token is given but no ${label('admin')}: nothing would ask for it`,
  },
  {
    keys: ['admin', 'adminTokenFile', 'adminTokenEnv'],
    holds: ({ admin, adminTokenFile, adminTokenEnv }) =>
      (adminTokenFile ?? adminTokenEnv) !== undefined ||
      isLoopback(parseAdminAddress(admin ?? 'localhost:0')?.host ?? ''),
    say: (label) =>
      `${label('admin')} can be reached from other machines: expected ${label('adminTokenFile')} FILE or ${label('adminTokenEnv')} NAME; got neither`,
  },
  {
    keys: ['merchants', 'url'],
    holds: ({ merchants, url }) => merchants === undefined || url === undefined,
    say: (label) => `${label('merchants')} and ${label('url')}: expected one of the two; got both`,
  },
  {
    keys: ['merchants', 'url', 'handler'],
    holds: ({ merchants, url, handler }) => (merchants ?? url ?? handler) !== undefined,
    say: (label) =>
      `nothing says where orders go: expected ${label('merchants')} FILE, ${label('url')} URL or ${label('handler')} FILE; got none`,
  },
];
