import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { crc32 } from 'node:zlib';
import { type Clock, systemClock } from '../clock.ts';
import { messageOf, OrderlaneError } from '../errors.ts';
import { CONTROL, control, sendJson } from './merchants-control.ts';
import { type Random, seeded, seededBy } from './random.ts';
import { isAccepted, Receipts } from './receipts.ts';
import {
  type Behaviour,
  behaviourAt,
  parseScenario,
  RateGate,
  type RateLimited,
  type Rule,
  react,
  rulesFor,
  type Scenario,
} from './scenario.ts';

export interface MerchantsOptions {
  /** 0 for a free one. @default 0 */
  readonly port?: number;
  /** @default '127.0.0.1' */
  readonly host?: string;
  /** @default everyone accepts at once */
  readonly scenario?: Scenario;
  /** PEM; served as HTTPS when given. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly clock?: Clock;
}

/** What all merchants together, or one of them, received since the start or the last `clear`. */
export interface Counts {
  /** Requests received to their last byte. */
  readonly requests: number;
  /** Of these, neither answered nor given up by the client. A `clear` leaves it. */
  readonly inFlight: number;
  /** 2xx answers that were handed to the socket, repeats included. */
  readonly accepted: number;
  /** Other answers that were handed to the socket. */
  readonly refused: number;
  /** Connections that were reset instead. */
  readonly reset: number;
  /** Requests whose client closed before the answer. */
  readonly abandoned: number;
  /** Requests without `Idempotency-Key`; they have no receipt. */
  readonly unkeyed: number;
}

/** `GET /_orderlane/stats`. */
export interface MerchantsStats extends Counts {
  readonly messages: {
    /** Keys that were seen. */
    readonly received: number;
    /** Keys that were answered with a 2xx at least once. */
    readonly accepted: number;
    /** Duplicate sends, as `Receipt` defines them. */
    readonly duplicates: number;
    /** Keys whose body differed between sends. */
    readonly bodyChanged: number;
  };
  /** How many merchants were called at all. */
  readonly merchants: number;
  /** The merchants with the most requests, most first; as many as `?top=` says, by default 20. */
  readonly top: readonly (Counts & { readonly merchant: string })[];
}

/**
 * Starts simulated merchants, all in one HTTP server:
 *
 *     POST   /{merchantId}/orders        an order (or below it: /{merchantId}/orders/pay)
 *     GET    /_orderlane/stats?top=20    MerchantsStats
 *     GET    /_orderlane/receipts        a Receipt a line, NDJSON
 *     DELETE /_orderlane/receipts        forgets them, and the counts
 *     PUT    /_orderlane/scenario        replaces the scenario
 *
 * Throws USAGE when it cannot listen there.
 */
export async function startMerchants(options: MerchantsOptions = {}): Promise<Merchants> {
  const merchants = new Merchants(options.scenario ?? parseScenario({}), options.clock ?? systemClock);
  await merchants.start(options);
  return merchants;
}

type Tally = { -readonly [Count in keyof Counts]: Counts[Count] };

const NONE: Counts = { requests: 0, inFlight: 0, accepted: 0, refused: 0, reset: 0, abandoned: 0, unkeyed: 0 };

/** One merchant's counts, and its part of the scenario. */
class Merchant {
  readonly id: string;
  counts: Tally = { ...NONE };
  rules: readonly Rule[] = [];
  /** The setting of the scenario that `rules` and `gate` belong to. */
  setting = -1;
  limit: RateLimited | undefined;
  gate: RateGate | undefined;

  constructor(id: string) {
    this.id = id;
  }
}

/** A request. What is known of a call lives in it and in its Answer, so that no closure is made for one. */
class Call extends IncomingMessage {
  answer: Answer | undefined;
  bodyHash = 0;
}

class Answer extends ServerResponse<Call> {
  merchant: Merchant | undefined;
  /** `held` from the last byte of the request until it is settled. */
  state: 'receiving' | 'held' | 'resetting' | 'settled' = 'receiving';
  /** The receipt's number; -1 without an idempotency key. */
  message = -1;
  /** The life of the counts it was counted in. */
  life = 0;
  /** The status to answer with; 0 to reset instead. */
  reply = 0;
  retryAfterS: number | undefined;
  timer: NodeJS.Timeout | undefined;
}

type End = 'accepted' | 'refused' | 'reset' | 'abandoned';

interface Waiter {
  readonly condition: (counts: Counts) => boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const STOPPED = 'the simulated merchants stopped before the condition held';
const ACCEPTED = '{"accepted":true}';
const REFUSED = '{"accepted":false}';
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Running merchants; `startMerchants` makes them. */
export class Merchants {
  /** Without a slash at its end: `http://127.0.0.1:8080`. */
  url = '';
  readonly receipts: Receipts = new Receipts();
  readonly #clock: Clock;
  readonly #merchants = new Map<string, Merchant>();
  #total: Tally = { ...NONE };
  /** Merchants that were called at all. */
  #called = 0;
  /** Counts the calls of `clear`: a call from an earlier life is in none of today's counts. */
  #life = 0;
  #scenario: Scenario;
  /** Counts the calls of `setScenario`. */
  #setting = 0;
  #setAt: number;
  #random: Random;
  #server: Server<typeof Call, typeof Answer> | undefined;
  #stopped: Promise<void> | undefined;
  readonly #waiters = new Set<Waiter>();

  constructor(scenario: Scenario, clock: Clock) {
    this.#clock = clock;
    this.#scenario = scenario;
    this.#setAt = clock.now();
    this.#random = seeded(scenario.seed);
  }

  /** `{url}/{merchantId}/orders`, the braces included: what `orderlane work --url` takes. */
  get urlTemplate(): string {
    return `${this.url}/{merchantId}/orders`;
  }

  async start({ port = 0, host = '127.0.0.1', tls }: MerchantsOptions): Promise<void> {
    const classes = { IncomingMessage: Call, ServerResponse: Answer };
    // Hanging is a behaviour here: no time-out of Node's may end it. Idle connections are left to the clients to close.
    const settings = { ...classes, requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 600_000 };
    const server = tls === undefined ? createServer(settings) : createTlsServer({ ...settings, ...tls });
    this.#take(server);
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error): void => {
        const text = `simulated merchants: expected a free port and an own address, got ${messageOf(error)}`;
        reject(new OrderlaneError('USAGE', text, { cause: error }));
      };
      server.once('error', refuse);
      // With Node's 511, thousands of connections at once lose their SYN and come back a second later.
      server.listen({ port, host, backlog: 4096 }, () => {
        server.off('error', refuse);
        resolve();
      });
    });
    const { address, port: bound, family } = server.address() as AddressInfo;
    this.url = `${tls === undefined ? 'http' : 'https'}://${family === 'IPv6' ? `[${address}]` : address}:${bound}`;
    this.#server = server;
  }

  /** Destroys what is open. Safe before start and twice. */
  stop(): Promise<void> {
    this.#stopped ??= new Promise((resolve) => {
      for (const { reject } of this.#waiters) reject(new Error(STOPPED));
      this.#waiters.clear();
      if (this.#server === undefined) resolve();
      this.#server?.close(() => resolve());
      this.#server?.closeAllConnections();
    });
    return this.#stopped;
  }

  /** Holds from the next request on: `from` and `until` count from now, and rate limits start full. */
  setScenario(scenario: Scenario): void {
    this.#scenario = scenario;
    this.#setting++;
    this.#setAt = this.#clock.now();
    this.#random = seeded(scenario.seed);
  }

  /** Forgets receipts and counts. The answer to a request from before is not counted. */
  clear(): void {
    this.#life++;
    this.receipts.clear();
    this.#called = 0;
    const empty = ({ inFlight }: Counts): Tally => ({ ...NONE, inFlight });
    this.#total = empty(this.#total);
    for (const merchant of this.#merchants.values()) merchant.counts = empty(merchant.counts);
  }

  /** Resolves once `condition` holds for the totals; it is asked now and after every change. Rejects at `stop`. */
  until(condition: (counts: Counts) => boolean): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(new Error(STOPPED));
    return new Promise((resolve, reject) => {
      this.#waiters.add({ condition, resolve, reject });
      this.#tellWaiters();
    });
  }

  stats(top = 20): MerchantsStats {
    const busiest =
      top === 0
        ? []
        : [...this.#merchants.values()].toSorted((a, b) => b.counts.requests - a.counts.requests).slice(0, top);
    const { size: received, accepted, duplicates, bodyChanged } = this.receipts;
    return {
      ...this.#total,
      messages: { received, accepted, duplicates, bodyChanged },
      merchants: this.#called,
      top: busiest.map(({ id, counts }) => ({ merchant: id, ...counts })),
    };
  }

  /** The listeners are the server's, not the call's: they learn from `this` which call it is. */
  #take(server: Server<typeof Call, typeof Answer>): void {
    const receive = (call: Call): void => this.#receive(call, call.answer as Answer);
    const settle = (answer: Answer, how: End): void => this.#settle(answer, how);
    function onData(this: Call, chunk: Buffer): void {
      this.bodyHash = crc32(chunk, this.bodyHash);
    }
    function onEnd(this: Call): void {
      receive(this);
    }
    function onFinish(this: Answer): void {
      if (this.state === 'held') settle(this, isAccepted(this.reply) ? 'accepted' : 'refused');
    }
    function onClose(this: Answer): void {
      if (this.state === 'held') settle(this, 'abandoned');
      else if (this.state === 'resetting') settle(this, 'reset');
    }
    server.on('request', (call: Call, answer: Answer & { req: Call }) => {
      if (call.url?.startsWith(CONTROL) === true) {
        control(this, call, answer).catch((error: unknown) => answer.destroy(error as Error));
        return;
      }
      const merchant = this.#merchantOf(call);
      if (merchant === undefined) {
        call.resume();
        sendJson(answer, 404, { error: `expected POST /{merchantId}/orders, got ${call.method} ${call.url}` });
        return;
      }
      call.answer = answer;
      answer.merchant = merchant;
      call.on('data', onData).on('end', onEnd);
      answer.on('finish', onFinish).on('close', onClose);
    });
  }

  #merchantOf({ method, url = '' }: Call): Merchant | undefined {
    const end = url.indexOf('/', 1);
    if (method !== 'POST' || end < 2 || !/^\/orders(?=[/?]|$)/.test(url.slice(end))) return undefined;
    let id = url.slice(1, end);
    if (id.includes('%')) {
      try {
        id = decodeURIComponent(id);
      } catch {
        return undefined; // not UTF-8: no merchant of ours
      }
    }
    let merchant = this.#merchants.get(id);
    if (merchant === undefined) {
      merchant = new Merchant(id);
      this.#merchants.set(id, merchant);
    }
    return merchant;
  }

  #receive(call: Call, answer: Answer): void {
    const merchant = answer.merchant as Merchant;
    answer.state = 'held';
    answer.life = this.#life;
    if (merchant.counts.requests === 0) this.#called++;
    for (const counts of [this.#total, merchant.counts]) {
      counts.requests++;
      counts.inFlight++;
    }
    this.#writeReceipt(call, answer, merchant);
    const now = this.#clock.now();
    const behaviour = this.#behaviourOf(merchant, now);
    const reaction = react(behaviour, this.#scenario, merchant.gate?.take(now) ?? true, this.#randomFor(call));
    if (reaction.kind !== 'silent') {
      if (reaction.kind === 'answer') {
        answer.reply = reaction.status;
        answer.retryAfterS = reaction.retryAfterS;
      }
      if (reaction.afterMs === 0) reply(answer);
      else answer.timer = setTimeout(reply, Math.min(reaction.afterMs, LONGEST_TIMER_MS), answer);
    }
    this.#tellWaiters();
  }

  /** The same attempt at the same message gets the same in every run, whatever else there is. */
  #randomFor({ headers }: Call): Random {
    const { 'idempotency-key': key, 'orderlane-attempt': attempt = '1' } = headers;
    return typeof key === 'string' ? seededBy(this.#scenario.seed, `${key} ${String(attempt)}`) : this.#random;
  }

  #writeReceipt(call: Call, answer: Answer, merchant: Merchant): void {
    const { 'idempotency-key': key, 'orderlane-attempt': attempt = '' } = call.headers;
    if (typeof key === 'string' && key !== '') {
      answer.message = this.receipts.sent(key, merchant.id, String(attempt), call.bodyHash, this.#clock.wall());
    } else {
      this.#total.unkeyed++;
      merchant.counts.unkeyed++;
    }
  }

  #behaviourOf(merchant: Merchant, now: number): Behaviour {
    if (merchant.setting !== this.#setting) {
      merchant.setting = this.#setting;
      merchant.rules = rulesFor(this.#scenario, merchant.id);
      merchant.limit = undefined;
    }
    const behaviour = behaviourAt(this.#scenario, merchant.rules, now - this.#setAt);
    const limit = behaviour.rateLimited;
    if (limit !== merchant.limit || limit === undefined) {
      merchant.limit = limit;
      merchant.gate = limit === undefined ? undefined : new RateGate(limit.perSecond, now);
    }
    return behaviour;
  }

  #settle(answer: Answer, how: End): void {
    const merchant = answer.merchant as Merchant;
    answer.state = 'settled';
    clearTimeout(answer.timer);
    for (const counts of [this.#total, merchant.counts]) {
      counts.inFlight--;
      if (answer.life === this.#life) counts[how]++;
    }
    const answered = how === 'accepted' || how === 'refused';
    if (answered && answer.message >= 0) this.receipts.answered(answer.message, answer.reply, this.#clock.wall());
    this.#tellWaiters();
  }

  #tellWaiters(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.condition(this.#total)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}

/** Carries out what was decided when the request came; runs when the latency is over. */
function reply(answer: Answer): void {
  if (answer.reply === 0) {
    answer.state = 'resetting';
    if (answer.socket instanceof TLSSocket) answer.socket.destroy();
    else answer.socket?.resetAndDestroy();
    return;
  }
  const body = isAccepted(answer.reply) ? ACCEPTED : REFUSED;
  if (answer.retryAfterS !== undefined) answer.setHeader('retry-after', answer.retryAfterS);
  answer.writeHead(answer.reply, { 'content-type': 'application/json', 'content-length': body.length });
  answer.end(body);
}
