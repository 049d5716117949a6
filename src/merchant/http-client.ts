import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:http';
import got, { type Got, HTTPError, type PlainResponse } from 'got';
import { AddressGuard } from './address-guard.ts';
import { Agents } from './agents.ts';
import { endingRequest } from './ending-request.ts';
import { TimeLimits } from '../time-limits.ts';
import { Resolver } from './resolver.ts';

const DEFAULT_MAX_RESPONSE_BYTES = 1_048_576;
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export interface HttpClientOptions {
  /** Longest name lookup, connect and TLS handshake together, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Connections kept for the next call, at most. */
  readonly idleSockets: number;
  /** Hosts that may be plain HTTP or at a private address. */
  readonly allowHosts: readonly string[];
  /** Longest answer that is read, decompressed. @default 1048576 */
  readonly maxResponseBytes?: number;
  /** Answers are kept, bounded, for the outcome events. @default false */
  readonly answers?: boolean;
  /** Name servers as `address` or `address:port`. @default the system's */
  readonly servers?: readonly string[];
}

/**
 * got as everything on a thread uses it, extended once: what differs from merchant to merchant is given per call, because
 * an `extend` costs a sixth of a call. No redirects, retries, cookies or caches; sockets are kept and guarded.
 */
export class HttpClient {
  /** For the forwarder: never throws on a status, never looks at a body. */
  readonly forwarder: Got;
  /** For handlers: throws on every status but 2xx. */
  readonly handlers: Got;
  readonly maxResponseBytes: number;
  readonly answers: boolean;
  /** Of the forwarder's calls. */
  readonly limits: TimeLimits = new TimeLimits();
  readonly #resolver: Resolver;
  readonly #agents: Agents;

  constructor(options: HttpClientOptions) {
    this.maxResponseBytes = options.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES;
    this.answers = options.answers ?? false;
    this.#resolver = new Resolver(options.servers === undefined ? {} : { servers: options.servers });
    const { connectTimeoutMs, idleSockets } = options;
    this.#agents = new Agents(connectTimeoutMs, this.#resolver, new AddressGuard(options.allowHosts), idleSockets);
    const common = got.extend({
      agent: { http: this.#agents.http, https: this.#agents.https },
      request: endingRequest,
      retry: { limit: 0 },
      headers: { 'user-agent': `orderlane/${version}` },
    });
    this.forwarder = common.extend({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      throwHttpErrors: false,
      followRedirect: false,
      decompress: false,
      // Node copies what it is given three times a call; got has 35 options, and these alone are set here.
      request: (url, { method, headers, agent }, answered) =>
        endingRequest(url, { method, headers, agent } as RequestOptions, answered),
    });
    this.handlers = common.extend({
      followRedirect: refuseRedirect,
    });
  }

  /** Replaces the hosts that may be plain HTTP or at a private address. */
  allow(hosts: readonly string[]): void {
    const now = this.#agents.guard.patterns;
    const same = now.length === hosts.length && hosts.every((host, at) => host === now[at]);
    if (!same) this.#agents.guard = new AddressGuard(hosts);
  }

  /** Ends every call and lookup. */
  close(): void {
    this.#agents.close();
    this.#resolver.close();
  }
}

const refused = new WeakSet<PlainResponse>();

/**
 * `followRedirect: false` would make a 3xx a success. Thrown from here it is an HTTPError, and the connection is closed
 * before a redirect's body comes, which got would read without a bound. got asks again when the caller wants no errors
 * thrown: then a throw would be uncaught, and "it would be followed" only means that the answer is not ok.
 */
function refuseRedirect(response: PlainResponse): boolean {
  if (refused.has(response)) return true;
  refused.add(response);
  throw new HTTPError(response);
}
