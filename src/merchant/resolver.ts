import { Resolver as Cares, type LookupAddress, type LookupAllOptions, lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isLocalhost } from './address-guard.ts';

const QUERY = { timeout: 500, tries: 2 };
// RFC 8305's resolution delay: how long one family waits for the other. A name server that drops AAAA queries is common.
const OTHER_FAMILY_MS = 50;
const MAX_NAMES = 10_000;
const MIN_TTL_MS = 1000;
const MAX_TTL_MS = 300_000;
/** How long an answer outlives its TTL: it is used while it is asked for again, also when nobody answers (RFC 8767). */
const STALE_MS = 300_000;
const FAILURE_MS = 1000;
const FALLBACK_TTL_MS = 10_000;
const FALLBACK_TIMEOUT_MS = 2000;
const FALLBACKS_AT_ONCE = 2;
const MAX_FALLBACKS_WAITING = 1000;
// What c-ares says of a name that the hosts file or a search domain may still know; refused is "no name server here".
const UNKNOWN_NAME = new Set(['ENOTFOUND', 'ENODATA', 'ECONNREFUSED', 'EREFUSED']);

type Callback = (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void;
type SystemLookup = (
  name: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

interface Answer {
  readonly addresses: readonly LookupAddress[];
  readonly ttlMs: number;
}

interface Asked {
  readonly state: 'asked';
  readonly waiting: Callback[];
}
interface Known {
  readonly state: 'known';
  readonly addresses: readonly LookupAddress[];
  readonly freshUntil: number;
  readonly usableUntil: number;
  refreshing: boolean;
}
interface Failed {
  readonly state: 'failed';
  readonly error: NodeJS.ErrnoException;
  readonly until: number;
}
type Name = Asked | Known | Failed;

export interface ResolverOptions {
  /** Name servers as `address` or `address:port`. @default the system's */
  readonly servers?: readonly string[];
  /** Asked when the name servers do not know a name. @default getaddrinfo */
  readonly fallback?: SystemLookup;
  /** Monotonic milliseconds. @default performance.now */
  readonly now?: () => number;
}

/**
 * Names to addresses without libuv's thread pool, which all threads of the process share: one merchant whose name server is
 * silent would fill it, and stall the lookups of all. So c-ares asks the name servers, and getaddrinfo, which also knows
 * the hosts file and search domains, is asked only for names that they do not know, a few at a time.
 *
 * Answers are kept for their TTL and used for a while longer as they are asked for again, failures for a second; lookups
 * of one name share one question. One per thread.
 */
export class Resolver {
  readonly #cares: Cares;
  readonly #fallback: SystemLookup;
  readonly #now: () => number;
  /** By name, least recently used first. */
  readonly #names = new Map<string, Name>();
  readonly #fallbacksWaiting: (() => void)[] = [];
  #fallbacks = 0;

  constructor(options: ResolverOptions = {}) {
    this.#cares = new Cares(QUERY);
    if (options.servers !== undefined) this.#cares.setServers(options.servers);
    this.#fallback = options.fallback ?? systemLookup;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Like `dns.lookup`; what `net.connect` and got's `dnsLookup` take. */
  readonly lookup: LookupFunction = (name, options, callback) => {
    const family = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : (options.family ?? 0);
    this.resolve(name, (error, all) => {
      const addresses = family === 0 ? [...all] : all.filter((address) => address.family === family);
      const [first] = addresses;
      if (error !== null) callback(error, []);
      else if (first === undefined) callback(notFound(name), []);
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };

  /** All addresses of a name, IPv4 first; never answers before it returns. */
  resolve(name: string, callback: Callback): void {
    const now = this.#now();
    const known = this.#names.get(name);
    if (known !== undefined) this.#names.delete(name); // and back in, as the most recently used
    switch (known?.state) {
      case 'asked':
        this.#names.set(name, known);
        known.waiting.push(callback);
        return;
      case 'known':
        if (now >= known.usableUntil) break;
        this.#names.set(name, known);
        process.nextTick(callback, null, known.addresses);
        if (now >= known.freshUntil && !known.refreshing) {
          known.refreshing = true;
          void this.#refresh(name, known);
        }
        return;
      case 'failed':
        if (now >= known.until) break;
        this.#names.set(name, known);
        process.nextTick(callback, known.error, []);
        return;
      case undefined:
        break;
    }
    const waiting = [callback];
    this.#keep(name, { state: 'asked', waiting });
    void this.#first(name, waiting);
  }

  /** Ends what is being asked. */
  close(): void {
    this.#cares.cancel();
    this.#names.clear();
  }

  async #first(name: string, waiting: readonly Callback[]): Promise<void> {
    const entry = await this.#ask(name).then(
      (answer) => this.#known(answer),
      (error: NodeJS.ErrnoException) => this.#failed(error),
    );
    this.#keep(name, entry);
    for (const callback of waiting) {
      if (entry.state === 'failed') callback(entry.error, []);
      else callback(null, entry.addresses);
    }
  }

  async #refresh(name: string, old: Known): Promise<void> {
    const entry = await this.#ask(name).then(
      (answer) => this.#known(answer),
      (error: NodeJS.ErrnoException) => {
        const failed = this.#failed(error);
        // A name that is gone is gone; a name server that is gone leaves us with what we knew.
        if (error.code === 'ENOTFOUND') return failed;
        return { ...old, freshUntil: failed.until, refreshing: false };
      },
    );
    this.#keep(name, entry);
  }

  #failed(error: NodeJS.ErrnoException): Failed {
    return { state: 'failed', error, until: this.#now() + FAILURE_MS };
  }

  #known({ addresses, ttlMs }: Answer): Known {
    const freshUntil = this.#now() + ttlMs;
    return { state: 'known', addresses, freshUntil, usableUntil: freshUntil + STALE_MS, refreshing: false };
  }

  #keep(name: string, entry: Name): void {
    this.#names.delete(name);
    this.#names.set(name, entry);
    if (this.#names.size <= MAX_NAMES) return;
    const [oldest] = this.#names.keys();
    this.#names.delete(oldest as string);
  }

  async #ask(name: string): Promise<Answer> {
    if (isLocalhost(name)) return { addresses: LOOPBACK, ttlMs: MAX_TTL_MS };
    const answers = await this.#queryBoth(name);
    const addresses = answers.flatMap((answer) => ('error' in answer ? [] : answer.addresses));
    if (addresses.length > 0) {
      const ttlMs = Math.min(...answers.map((answer) => ('error' in answer ? MAX_TTL_MS : answer.ttlMs)));
      return { addresses, ttlMs: Math.max(MIN_TTL_MS, ttlMs) };
    }
    for (const answer of answers) {
      if ('error' in answer && !UNKNOWN_NAME.has(answer.error.code ?? '')) throw answer.error;
    }
    return await this.#askSystem(name);
  }

  /** Both families' answers, IPv4 first; one alone when it has addresses and the other is late. */
  async #queryBoth(name: string): Promise<readonly (Answer | { readonly error: NodeJS.ErrnoException })[]> {
    const v4 = this.#query(name, 4);
    const v6 = this.#query(name, 6);
    const first = await Promise.race([v4, v6]);
    if ('error' in first) return [await v4, await v6];
    const { promise: late, resolve: giveUp } = Promise.withResolvers<undefined>();
    const timer = setTimeout(giveUp, OTHER_FAMILY_MS, undefined);
    const both = await Promise.race([Promise.all([v4, v6]), late]);
    clearTimeout(timer);
    return both ?? [first];
  }

  #query(name: string, family: 4 | 6): Promise<Answer | { readonly error: NodeJS.ErrnoException }> {
    return new Promise((done) => {
      const answered = (
        error: NodeJS.ErrnoException | null,
        records: readonly { address: string; ttl: number }[],
      ): void => {
        if (error !== null) done({ error });
        else done({ addresses: records.map(({ address }) => ({ address, family })), ttlMs: shortest(records) });
      };
      if (family === 4) this.#cares.resolve4(name, { ttl: true }, answered);
      else this.#cares.resolve6(name, { ttl: true }, answered);
    });
  }

  /** getaddrinfo, a few at a time: it holds one of libuv's threads until it answers, whoever still waits for it. */
  #askSystem(name: string): Promise<Answer> {
    return new Promise((done, fail) => {
      const start = (): void => {
        this.#fallbacks += 1;
        this.#fallback(name, { all: true, order: 'ipv4first' }, (error, addresses) => {
          this.#fallbacks -= 1;
          this.#fallbacksWaiting.shift()?.();
          clearTimeout(timer);
          if (error !== null) fail(error);
          else done({ addresses, ttlMs: FALLBACK_TTL_MS });
        });
      };
      const timer = setTimeout(() => {
        const place = this.#fallbacksWaiting.indexOf(start);
        if (place !== -1) this.#fallbacksWaiting.splice(place, 1);
        fail(notFound(name, 'ETIMEOUT'));
      }, FALLBACK_TIMEOUT_MS);
      if (this.#fallbacks < FALLBACKS_AT_ONCE) start();
      else if (this.#fallbacksWaiting.length < MAX_FALLBACKS_WAITING) this.#fallbacksWaiting.push(start);
      else {
        clearTimeout(timer);
        fail(notFound(name, 'EAI_AGAIN'));
      }
    });
  }
}

const LOOPBACK: readonly LookupAddress[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
];

function shortest(records: readonly { ttl: number }[]): number {
  return Math.min(MAX_TTL_MS, ...records.map((record) => record.ttl * 1000));
}

function notFound(name: string, code = 'ENOTFOUND'): NodeJS.ErrnoException {
  return Object.assign(new Error(`lookup ${code} ${name}`), { code, hostname: name });
}
