import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { formatDuration, parseRate } from '../duration.ts';
import { messageOf, OrderlaneError } from '../errors.ts';
import { hostPatternProblem } from '../host-pattern.ts';
import type { Options } from '../options.ts';
import { BREAKER, type BreakerSettings, type Merchant } from '../order.ts';
import { UrlTemplate } from '../url-template.ts';
import { AddressGuard } from './address-guard.ts';
import { type DirectoryFile, type Entry, readDirectoryFile } from './directory-file.ts';
import { Problems } from './problems.ts';
import { type SecretRef, Secrets } from './secrets.ts';

export interface DirectorySource {
  /** The directory file. Excludes `url`. */
  readonly file?: string;
  /** A URL template for all merchants, without a file. */
  readonly url?: string;
  /** Hosts that may be plain HTTP or at a private address, besides the file's. */
  readonly allowHosts: readonly string[];
  /** Longest attempt, for merchants that set none; milliseconds. */
  readonly timeoutMs: number;
  /** Orders in flight, for merchants that set none. */
  readonly concurrency: number;
  /** Calls a second, for merchants that set none. @default unbounded */
  readonly ratePerSecond?: number;
  /** For merchants that set none, or not all of it. @default BREAKER */
  readonly breaker?: BreakerSettings;
  /** Longest `timeout` that the file may set, in milliseconds. @default unbounded */
  readonly maxTimeoutMs?: number;
  /** Whether every merchant must have a URL, because no handler knows by itself. @default false */
  readonly urlRequired?: boolean;
  /** Leaves secrets where they are: for a look at the file where they are not at hand. Its merchants have no `auth`. @default false */
  readonly withoutSecrets?: boolean;
  /** How often the files are looked at for changes, in milliseconds. @default 1000 */
  readonly pollMs?: number;
}

/** What the settings of `work` name. */
export function directorySourceOf(options: Options): DirectorySource {
  const ratePerSecond = options.merchantRate === undefined ? undefined : parseRate(options.merchantRate);
  return {
    ...(options.merchants === undefined ? {} : { file: options.merchants }),
    ...(options.url === undefined ? {} : { url: options.url }),
    allowHosts: options.allowHost,
    timeoutMs: options.timeoutMs,
    concurrency: options.merchantConcurrency,
    ...(ratePerSecond === undefined ? {} : { ratePerSecond }),
    breaker: {
      failures: options.breakerFailures,
      probes: options.breakerProbes,
      waitMs: options.breakerWaitMs,
      maxWaitMs: options.breakerMaxWaitMs,
    },
    maxTimeoutMs: options.shutdownTimeoutMs,
    urlRequired: options.handler === undefined,
  };
}

const SLICE = 2000;
const DEFAULT_WEIGHT = 1;
const DEFAULT_KEY_WINDOW_MS = 86_400_000;
const NO_FILE: DirectoryFile = { allowHosts: [], defaults: {}, merchants: new Map() };

/** One good load of all that a source names: the file, its secrets, the URL template. Never changes; reloads replace it. */
export class DirectorySnapshot {
  readonly guard: AddressGuard;
  readonly #source: DirectorySource;
  readonly file: DirectoryFile;
  readonly #secrets: Secrets;
  readonly #template: UrlTemplate | undefined;
  /** Headers of merchants that set none of their own, shared by all of them. */
  readonly #headers: Readonly<Record<string, string>>;
  /** The same. */
  readonly #breaker: BreakerSettings;

  private constructor(
    source: DirectorySource,
    file: DirectoryFile,
    secrets: Secrets,
    template: UrlTemplate | undefined,
    guard: AddressGuard,
  ) {
    this.guard = guard;
    this.#source = source;
    this.file = file;
    this.#secrets = secrets;
    this.#template = template;
    this.#headers = this.#headersOf(file.defaults);
    this.#breaker = { ...BREAKER, ...source.breaker, ...file.defaults.breaker };
  }

  /**
   * Writes the signature of each file into `signatures` before it reads the file. Throws an OrderlaneError with code
   * USAGE that says all that is wrong.
   */
  static async load(source: DirectorySource, signatures: Map<string, string>): Promise<DirectorySnapshot> {
    const problems = new Problems();
    if (source.file === undefined) {
      const guard = new AddressGuard(source.allowHosts);
      for (const pattern of source.allowHosts) problems.addIf(['allowHosts'], hostPatternProblem(pattern));
      if (source.url === undefined && source.urlRequired === true) {
        problems.add([], 'expected a merchant directory or a URL template, received neither');
      }
      const template = templateOf(source.url, [], guard, problems);
      if (problems.found) throw problems.error(source.url === undefined ? 'merchants' : 'url');
      return new DirectorySnapshot(source, NO_FILE, new Secrets(), template, guard);
    }
    if (source.url !== undefined) {
      throw new OrderlaneError('USAGE', 'merchants: expected a directory file or a URL template, received both');
    }
    const file = await readDirectoryFile(await textOf(source.file, signatures), dirname(source.file), problems);
    const guard = new AddressGuard([...new Set([...source.allowHosts, ...file.allowHosts])]);
    const secrets = source.withoutSecrets === true ? new Secrets() : await readSecrets(file, signatures);
    const template = templateOf(file.defaults.url, ['defaults', 'url'], guard, problems);
    const check = new EntryCheck(source, secrets, guard, problems);
    check.entry(file.defaults, ['defaults']);
    let left = SLICE;
    for (const [id, entry] of file.merchants) {
      const path = ['merchants', id];
      check.entry(entry, path);
      if (entry.url !== undefined) check.url(templateOf(entry.url, [...path, 'url'], guard, problems), id, path);
      else if (file.defaults.url !== undefined) check.url(template, id, path);
      else if (source.urlRequired === true) problems.add(path, 'expected a "url" here or in "defaults", received none');
      if (--left === 0) {
        left = SLICE;
        await turn();
      }
    }
    if (problems.found) throw problems.error(source.file);
    return new DirectorySnapshot(source, file, secrets, template, guard);
  }

  /** Whether a merchant is in the file. */
  lists(merchantId: string): boolean {
    return this.file.merchants.has(merchantId);
  }

  /** A new Merchant; undefined when nobody by that ID can be served. */
  make(merchantId: string): Merchant | undefined {
    const entry = this.#source.file === undefined ? {} : this.file.merchants.get(merchantId);
    if (entry === undefined || merchantId === '') return undefined;
    const template = entry.url === undefined ? this.#template : UrlTemplate.parse(entry.url);
    if (typeof template === 'string') return undefined; // such a file was refused
    const url = template?.fill(merchantId);
    if (template !== undefined && url === undefined) return undefined;
    if (url !== undefined && template?.variesHost === true && guardProblem(this.guard, new URL(url)) !== undefined) {
      return undefined;
    }
    const { defaults } = this.file;
    const ratePerSecond = entry.ratePerSecond ?? defaults.ratePerSecond ?? this.#source.ratePerSecond;
    return {
      id: merchantId,
      ...(url === undefined ? {} : { url }),
      headers: entry.headers === undefined && entry.auth === undefined ? this.#headers : this.#headersOf(entry),
      timeoutMs: entry.timeoutMs ?? defaults.timeoutMs ?? this.#source.timeoutMs,
      paused: entry.paused ?? defaults.paused ?? false,
      ...(ratePerSecond === undefined ? {} : { ratePerSecond }),
      concurrency: entry.concurrency ?? defaults.concurrency ?? this.#source.concurrency,
      breaker: entry.breaker === undefined ? this.#breaker : { ...this.#breaker, ...entry.breaker },
      weight: entry.weight ?? defaults.weight ?? DEFAULT_WEIGHT,
      duplicates: entry.duplicates ?? defaults.duplicates ?? 'idempotent',
      keyWindowMs: entry.keyWindowMs ?? defaults.keyWindowMs ?? DEFAULT_KEY_WINDOW_MS,
    };
  }

  #headersOf(entry: Entry): Readonly<Record<string, string>> {
    const { defaults } = this.file;
    const auth = entry.auth ?? defaults.auth;
    const headers = { ...defaults.headers, ...entry.headers };
    if (auth === undefined || this.#source.withoutSecrets === true) return headers;
    const [name, value] = this.#secrets.header(auth);
    return { ...headers, [name]: value };
  }
}

/** What tells one state of a file from another, through symbolic links. */
export async function signatureOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable';
  }
}

/** What is wrong with an entry in the light of everything else. */
class EntryCheck {
  readonly #source: DirectorySource;
  readonly #secrets: Secrets;
  readonly #guard: AddressGuard;
  readonly #problems: Problems;

  constructor(source: DirectorySource, secrets: Secrets, guard: AddressGuard, problems: Problems) {
    this.#source = source;
    this.#secrets = secrets;
    this.#guard = guard;
    this.#problems = problems;
  }

  entry(entry: Entry, path: readonly string[]): void {
    const max = this.#source.maxTimeoutMs ?? Number.POSITIVE_INFINITY;
    if (entry.timeoutMs !== undefined && entry.timeoutMs > max) {
      const received = formatDuration(entry.timeoutMs);
      this.#problems.add(
        [...path, 'timeout'],
        `expected at most ${formatDuration(max)} (--shutdown-timeout), received ${received}`,
      );
    }
    if (entry.auth !== undefined) this.#problems.addIf([...path, 'auth'], this.#secrets.problem(entry.auth.secret));
  }

  /** A template that could not be used has been told of already. */
  url(template: UrlTemplate | undefined, id: string, path: readonly string[]): void {
    if (template === undefined) return;
    const url = template.fill(id);
    if (url === undefined) this.#problems.add(path, 'expected a merchant ID that can be part of its URL');
    else if (template.variesHost) this.#problems.addIf(path, guardProblem(this.#guard, new URL(url)));
  }
}

function templateOf(
  text: string | undefined,
  path: readonly string[],
  guard: AddressGuard,
  problems: Problems,
): UrlTemplate | undefined {
  if (text === undefined) return undefined;
  const template = UrlTemplate.parse(text);
  if (typeof template === 'string') {
    problems.add(path, template);
    return undefined;
  }
  // A host that depends on the merchant is judged for each merchant.
  const problem = template.variesHost ? undefined : guardProblem(guard, template.sample);
  problems.addIf(path, problem);
  return problem === undefined ? template : undefined;
}

function guardProblem(guard: AddressGuard, url: URL): string | undefined {
  const secure = url.protocol === 'https:';
  return guard.refusal(secure, url.hostname, url.port === '' ? (secure ? 443 : 80) : Number(url.port));
}

async function textOf(file: string, signatures: Map<string, string>): Promise<string> {
  signatures.set(file, await signatureOf(file));
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new OrderlaneError('USAGE', `${file}: expected a merchant directory: ${messageOf(error)}`, { cause: error });
  }
}

async function readSecrets(file: DirectoryFile, signatures: Map<string, string>): Promise<Secrets> {
  const refs: SecretRef[] = [];
  for (const entry of [file.defaults, ...file.merchants.values()]) {
    if (entry.auth !== undefined) refs.push(entry.auth.secret);
  }
  for (const ref of refs) {
    if ('file' in ref && !signatures.has(ref.file)) signatures.set(ref.file, await signatureOf(ref.file));
  }
  const secrets = new Secrets();
  await secrets.read(refs);
  return secrets;
}
