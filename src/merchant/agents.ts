import http, { type ClientRequestArgs } from 'node:http';
import https from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import { AddressGuard, AddressRefused } from './address-guard.ts';
import type { Resolver } from './resolver.ts';

// Below the 5 s after which Node's servers, and the shortest of the common ones, close an idle connection.
const IDLE_MS = 4000;

/**
 * The sockets of one thread. Whatever concerns a connection and not a call is done here, once per socket, so that a call
 * on a kept socket pays nothing: the address guard, the name lookup, the connect time-out. Node caps idle sockets per host
 * only; with many hosts the one that was idle longest makes room.
 */
export class Agents {
  readonly http: http.Agent;
  readonly https: https.Agent;
  readonly #connectTimeoutMs: number;
  readonly #maxIdle: number;
  readonly #resolver: Resolver;
  #guard: AddressGuard;
  /** Oldest first. */
  readonly #idle = new Set<Duplex>();
  readonly #openedUnder = new WeakMap<Duplex, AddressGuard>();

  constructor(connectTimeoutMs: number, resolver: Resolver, guard: AddressGuard, maxIdle: number) {
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#maxIdle = maxIdle;
    this.#resolver = resolver;
    this.#guard = guard;
    const options = { keepAlive: true, scheduling: 'lifo', maxFreeSockets: maxIdle, timeout: IDLE_MS } as const;
    this.http = this.#adopt(new http.Agent(options), false);
    this.https = this.#adopt(new https.Agent(options), true);
  }

  get guard(): AddressGuard {
    return this.#guard;
  }

  /** Sockets that were opened under an earlier guard finish their call and are closed. */
  set guard(guard: AddressGuard) {
    this.#guard = guard;
    for (const socket of this.#idle) socket.destroy();
  }

  /** Closes every socket, calls in flight included. */
  close(): void {
    this.http.destroy();
    this.https.destroy();
  }

  #adopt<A extends http.Agent>(agent: A, secure: boolean): A {
    const open = agent.createConnection.bind(agent);
    const keep = agent.keepSocketAlive.bind(agent);
    const reuse = agent.reuseSocket.bind(agent);
    agent.createConnection = (options, done) => {
      const host = options.host ?? 'localhost';
      const port = Number(options.port);
      const refusal = this.#guard.refusal(secure, host, port);
      if (refusal !== undefined) {
        done?.(new AddressRefused(refusal), undefined as never);
        return undefined;
      }
      // The agent made these options for this socket alone. A literal address never reaches `lookup`.
      if (isIP(host) === 0) (options as ClientRequestArgs).lookup = this.#guardedLookup(this.#guard, port);
      const socket = open(options, done);
      if (socket !== null && socket !== undefined) this.#watch(socket, secure, `${host}:${port}`);
      return socket;
    };
    agent.keepSocketAlive = (socket) => {
      if (this.#openedUnder.get(socket) !== this.#guard) return false;
      const kept: unknown = keep(socket);
      if (kept === true) {
        this.#idle.add(socket);
        const [longest] = this.#idle;
        if (longest !== undefined && this.#idle.size > this.#maxIdle) {
          this.#idle.delete(longest); // it tells of its end later, and others may have to make room before that
          longest.destroy();
        }
      }
      return kept;
    };
    agent.reuseSocket = (socket, request) => {
      this.#idle.delete(socket);
      reuse(socket, request);
    };
    return agent;
  }

  #watch(socket: Duplex, secure: boolean, place: string): void {
    const ms = this.#connectTimeoutMs;
    let over = false;
    const giveUp = (): void => {
      if (over) return;
      const error = new Error(`no connection to ${place} within ${ms} ms`);
      socket.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
    };
    // After the sockets had their turn: when the thread was busy for long, the connection is there and nobody has looked.
    const timer = setTimeout(() => setImmediate(giveUp), ms);
    const stop = (): void => {
      over = true;
      clearTimeout(timer);
    };
    socket.once(secure ? 'secureConnect' : 'connect', stop);
    socket.once('close', () => {
      stop();
      this.#idle.delete(socket);
    });
    this.#openedUnder.set(socket, this.#guard);
  }

  /** Hands on only addresses that may be connected to, so that what was checked is what is connected to. */
  #guardedLookup(guard: AddressGuard, port: number): LookupFunction {
    return (name, options, callback) => {
      this.#resolver.lookup(name, { ...options, all: true }, (error, found) => {
        if (error !== null || typeof found === 'string') {
          callback(error, []);
          return;
        }
        const allowed = found.filter(({ address }) => guard.addressRefusal(name, port, address) === undefined);
        const [first] = allowed;
        if (first === undefined) {
          const refusal = guard.addressRefusal(name, port, found[0]?.address ?? '');
          callback(new AddressRefused(refusal ?? `${name} has no address`), []);
        } else if (options.all === true) callback(null, allowed);
        else callback(null, first.address, first.family);
      });
    };
  }
}
