import { validateHeaderName, validateHeaderValue } from 'node:http';
import { isAbsolute, resolve } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { formatDuration, parseDuration, parseRate } from '../duration.ts';
import { hostPatternProblem } from '../host-pattern.ts';
import { jsonProblem } from '../json-error.ts';
import { BREAKER_BOUNDS, type BreakerSettings, type DuplicatesPolicy } from '../order.ts';
import { nearest } from '../spelling.ts';
import { type Problems, shown, type Tell } from './problems.ts';
import { repeatedKeys } from './repeated-keys.ts';
import type { Auth, SecretRef } from './secrets.ts';

/** What the directory file says of one merchant, or of all (`defaults`). */
export interface Entry {
  url?: string;
  /** By lower-case name. */
  headers?: Readonly<Record<string, string>>;
  auth?: Auth;
  timeoutMs?: number;
  concurrency?: number;
  ratePerSecond?: number;
  breaker?: Partial<BreakerSettings>;
  paused?: boolean;
  weight?: number;
  duplicates?: DuplicatesPolicy;
  keyWindowMs?: number;
}

export interface DirectoryFile {
  readonly allowHosts: readonly string[];
  readonly defaults: Entry;
  readonly merchants: ReadonlyMap<string, Entry>;
}

const FIELDS = ['allowHosts', 'defaults', 'merchants'];
const ENTRY_FIELDS = [
  'url',
  'headers',
  'auth',
  'timeout',
  'concurrency',
  'rate',
  'breaker',
  'paused',
  'weight',
  'duplicates',
  'keyWindow',
];
const BREAKER_FIELDS = ['failures', 'probes', 'wait', 'maxWait'];
const POLICIES: readonly DuplicatesPolicy[] = ['idempotent', 'confirm', 'never'];
const AUTH_FIELDS = {
  bearer: ['type', 'env', 'file'],
  basic: ['type', 'username', 'env', 'file'],
  header: ['type', 'name', 'env', 'file'],
} as const;
// Set by us or by the connection; a merchant's own would break the framing, the deduplication or both.
const OUR_HEADERS = new Set(
  'idempotency-key orderlane-attempt host content-length transfer-encoding connection keep-alive te trailer upgrade expect'.split(
    ' ',
  ),
);
// How many entries are read in one turn of the event loop: about 10 ms, so that a reload does not hold up the orders.
const SLICE = 2000;

/**
 * Reads the directory's JSON into entries, telling `problems` of everything that is not as it should be. Written by hand
 * and not with a schema library: 100,000 entries, messages that name the nearest field, and merchant IDs like
 * `__proto__`, which such libraries drop without a word.
 */
export async function readDirectoryFile(text: string, folder: string, problems: Problems): Promise<DirectoryFile> {
  const merchants = new Map<string, Entry>();
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    problems.add([], `expected JSON, received text that is ${jsonProblem(error, text)}`);
    return { allowHosts: [], defaults: {}, merchants };
  }
  if (!isObject(root)) {
    problems.add([], `expected an object with ${FIELDS.join(', ')}, received ${shown(root)}`);
    return { allowHosts: [], defaults: {}, merchants };
  }
  for (const { path, first, again } of await repeatedKeys(text)) {
    const where = first === again ? `twice in line ${first}` : `in line ${first} and in line ${again}`;
    problems.add(path, `expected once, received ${where}`);
  }
  for (const name of Object.keys(root)) {
    if (!FIELDS.includes(name)) problems.add([name], unknownField(name, FIELDS));
  }
  const allowHosts = own(root, 'allowHosts') === undefined ? [] : readHosts(own(root, 'allowHosts'), problems);
  const defaults =
    own(root, 'defaults') === undefined ? {} : readEntry(own(root, 'defaults'), ['defaults'], folder, problems);
  const listed = own(root, 'merchants');
  if (!isObject(listed)) {
    problems.add(['merchants'], `expected an object with an entry for each merchant ID, received ${shown(listed)}`);
    return { allowHosts, defaults, merchants };
  }
  let left = SLICE;
  for (const id of Object.keys(listed)) {
    merchants.set(id, readEntry(listed[id], ['merchants', id], folder, problems));
    if (id === '') problems.add(['merchants', id], 'expected a merchant ID, received an empty one');
    if (--left === 0) {
      left = SLICE;
      await turn();
    }
  }
  return { allowHosts, defaults, merchants };
}

function readHosts(value: unknown, problems: Problems): readonly string[] {
  if (!isStrings(value)) {
    problems.add(['allowHosts'], `expected a list of hosts, received ${shown(value)}`);
    return [];
  }
  for (const [at, pattern] of value.entries()) {
    const problem = hostPatternProblem(pattern);
    if (problem !== undefined) problems.add(['allowHosts', String(at)], problem);
  }
  return value;
}

function readEntry(raw: unknown, path: readonly string[], folder: string, problems: Problems): Entry {
  const entry: Entry = {};
  if (!isObject(raw)) {
    problems.add(path, `expected an object, received ${shown(raw)}`);
    return entry;
  }
  for (const name of Object.keys(raw)) {
    const value = raw[name];
    const tell: Tell = (what, ...below) => problems.add([...path, name, ...below], what);
    switch (name) {
      case 'url':
        if (typeof value === 'string') entry.url = value;
        else tell(`expected a URL, received ${shown(value)}`);
        break;
      case 'headers':
        entry.headers = readHeaders(value, tell);
        break;
      case 'auth': {
        const auth = readAuth(value, folder, tell);
        if (auth !== undefined) entry.auth = auth;
        break;
      }
      case 'timeout':
        entry.timeoutMs = readDuration(value, tell);
        break;
      case 'concurrency':
        entry.concurrency = readWhole(value, Number.MAX_SAFE_INTEGER, tell);
        break;
      case 'rate':
        entry.ratePerSecond = readRate(value, tell);
        break;
      case 'breaker':
        entry.breaker = readBreaker(value, tell);
        break;
      case 'paused':
        entry.paused = value === true;
        if (typeof value !== 'boolean') tell(`expected true or false, received ${shown(value)}`);
        break;
      case 'weight':
        entry.weight = readWhole(value, 100, tell);
        break;
      case 'duplicates':
        entry.duplicates = POLICIES.find((policy) => policy === value) ?? 'never';
        if (entry.duplicates !== value) tell(`expected ${POLICIES.join(', ')}, received ${shown(value)}`);
        break;
      case 'keyWindow':
        entry.keyWindowMs = readDuration(value, tell);
        break;
      default:
        tell(unknownField(name, ENTRY_FIELDS));
    }
  }
  return entry;
}

// What is told of is never used, so a value that cannot be read becomes any value of its type.
function readDuration(value: unknown, tell: Tell): number {
  const ms = typeof value === 'string' ? parseDuration(value) : undefined;
  if (ms !== undefined && ms > 0) return ms;
  tell(`expected a duration above 0 with a unit, such as "15s", received ${shown(value)}`);
  return 1;
}

function readRate(value: unknown, tell: Tell): number {
  const rate = typeof value === 'string' ? parseRate(value) : undefined;
  if (rate !== undefined) return rate;
  tell(`expected a rate above 0 a second, minute or hour, such as "10/s" or "600/m", received ${shown(value)}`);
  return 1;
}

function readWhole(value: unknown, max: number, tell: Tell): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
  tell(
    `expected a whole number ${max === Number.MAX_SAFE_INTEGER ? 'from 1' : `from 1 to ${max}`}, received ${shown(value)}`,
  );
  return 1;
}

function readBreaker(value: unknown, tell: Tell): Partial<BreakerSettings> {
  const breaker: { -readonly [name in keyof BreakerSettings]?: number } = {};
  if (!isObject(value)) {
    tell(`expected an object with ${BREAKER_FIELDS.join(', ')}, received ${shown(value)}`);
    return breaker;
  }
  for (const [name, of] of Object.entries(value)) {
    const tellOf: Tell = (what, ...below) => tell(what, name, ...below);
    if (name === 'failures' || name === 'probes') breaker[name] = readWhole(of, BREAKER_BOUNDS.most, tellOf);
    else if (name === 'wait') breaker.waitMs = readWait(of, tellOf);
    else if (name === 'maxWait') breaker.maxWaitMs = readWait(of, tellOf);
    else tellOf(unknownField(name, BREAKER_FIELDS));
  }
  return breaker;
}

function readWait(value: unknown, tell: Tell): number {
  const { leastWaitMs, mostWaitMs } = BREAKER_BOUNDS;
  const ms = typeof value === 'string' ? parseDuration(value) : undefined;
  if (ms !== undefined && ms >= leastWaitMs && ms <= mostWaitMs) return ms;
  const [least, most] = [formatDuration(leastWaitMs), formatDuration(mostWaitMs)];
  tell(`expected a duration from ${least} to ${most}, received ${shown(value)}`);
  return mostWaitMs;
}

function readHeaders(value: unknown, tell: Tell): Record<string, string> {
  if (!isObject(value)) {
    tell(`expected an object of header values by name, received ${shown(value)}`);
    return {};
  }
  const headers: [string, string][] = [];
  for (const [name, text] of Object.entries(value)) {
    const problem = headerNameProblem(name) ?? headerValueProblem(name, text);
    if (problem !== undefined) tell(problem, name);
    else headers.push([name.toLowerCase(), text as string]);
  }
  return Object.fromEntries(headers);
}

function headerNameProblem(name: string): string | undefined {
  const lower = name.toLowerCase();
  if (lower === 'authorization' || lower === 'proxy-authorization') {
    return 'credentials do not belong in this file: expected "auth" with "env" or "file"';
  }
  if (OUR_HEADERS.has(lower)) return 'this header is set by orderlane and cannot be changed';
  try {
    validateHeaderName(name);
    return lower === '__proto__' ? 'not a header name' : undefined;
  } catch {
    return `expected a header name, received ${shown(name)}`;
  }
}

function headerValueProblem(name: string, value: unknown): string | undefined {
  if (typeof value !== 'string') return `expected a string, received ${shown(value)}`;
  try {
    validateHeaderValue(name, value);
    return undefined;
  } catch {
    return 'expected a header value, received characters that a header cannot carry';
  }
}

function readAuth(value: unknown, folder: string, tell: Tell): Auth | undefined {
  const type = isObject(value) ? own(value, 'type') : undefined;
  if (!isObject(value) || (type !== 'bearer' && type !== 'basic' && type !== 'header')) {
    // Somebody may have written the secret itself here.
    const received = isObject(value) ? shown(type) : 'something else';
    tell(`expected an object with "type": "bearer", "basic" or "header", received ${received}`);
    return undefined;
  }
  for (const name of Object.keys(value)) {
    // What is in an unknown field may be a secret that somebody wrote out: it is not repeated.
    if (!AUTH_FIELDS[type].some((field) => field === name))
      tell(`${unknownField(name, AUTH_FIELDS[type])}; secrets go by "env" or "file"`, name);
  }
  const secret = readSecretRef(value, folder, tell);
  if (secret === undefined) return undefined;
  if (type === 'bearer') return { type, secret };
  if (type === 'basic') {
    const username = own(value, 'username');
    if (typeof username === 'string' && /^[^:\r\n]+$/.test(username)) return { type, username, secret };
    tell(`expected a user name without a colon, received ${shown(username)}`, 'username');
    return undefined;
  }
  const name = own(value, 'name');
  const lower = typeof name === 'string' ? name.toLowerCase() : '';
  const problem =
    lower === 'authorization'
      ? undefined
      : typeof name === 'string'
        ? headerNameProblem(name)
        : `expected a header name, received ${shown(name)}`;
  if (problem === undefined) return { type, name: lower, secret };
  tell(problem, 'name');
  return undefined;
}

function readSecretRef(value: Record<string, unknown>, folder: string, tell: Tell): SecretRef | undefined {
  const env = own(value, 'env');
  const file = own(value, 'file');
  if (typeof env === 'string' && env !== '' && file === undefined) return { env };
  if (typeof file === 'string' && file !== '' && env === undefined) {
    return { file: isAbsolute(file) ? file : resolve(folder, file) };
  }
  tell(
    env !== undefined && file !== undefined
      ? 'expected "env" or "file", received both'
      : `expected the name of an environment variable in "env" or of a file in "file", received ${shown(env ?? file)}`,
  );
  return undefined;
}

function unknownField(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return `unknown field: ${meant === undefined ? `expected ${known.join(', ')}` : `did you mean "${meant}"?`}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** A field of the file's own, never one of Object.prototype's. */
function own(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
