import type { ClientRequest, IncomingMessage } from 'node:http';
import {
  type Got,
  type HandlerFunction,
  HTTPError,
  Options,
  type PlainResponse,
  type Request,
  RequestError,
  type Timings,
} from 'got';
import { messageOf } from '../errors.ts';
import type { DeliveryError } from '../handler.ts';
import { headerKey, type Merchant, type Order } from '../order.ts';
import { brief } from '../outcome.ts';
import type { ThreadOutcome } from '../protocol.ts';
import { redact } from '../redact.ts';
import { AnswerTooLarge, MAX_RETRY_AFTER_MS, outcomeOfAnswer, outcomeOfError } from './classify.ts';
import type { HttpClient } from './http-client.ts';

/** One request of the attempt on its way, or what became of it. */
interface Call {
  readonly request: ClientRequest & { timings?: Timings };
  readonly secure: boolean;
  response?: IncomingMessage;
}

/** What got's promises and streams have in common. */
interface CallEvents {
  on(event: 'request', listener: (request: ClientRequest) => void): unknown;
  on(event: 'downloadProgress', listener: (progress: { transferred: number }) => void): unknown;
}

/**
 * What a handler gets to call its merchant with, for one attempt: got with everything in it that the handler must not
 * forget. It also remembers each request, because an attempt is judged by all of them: when one that was answered or
 * may have arrived lies behind, a later one that provably did not leave makes the attempt ambiguous all the same.
 */
export class AttemptClient {
  readonly #client: HttpClient;
  readonly #order: Order;
  readonly #merchant: Merchant;
  readonly #timeLeftMs: () => number;
  readonly #signal: () => AbortSignal;
  readonly #base: URL | undefined;
  readonly #clients = new Map<string | undefined, Got>();
  readonly #calls: Call[] = [];
  /** Calls that have not ended; streams are not among them. */
  readonly #open = new Set<Promise<unknown>>();
  /** By idempotency key, the write that was made with it. */
  readonly #writes = new Map<string, string>();
  readonly #onSharedKey: () => void;
  /** One for each call made. */
  readonly #aborts: AbortController[] = [];

  constructor(
    client: HttpClient,
    order: Order,
    merchant: Merchant,
    timeLeftMs: () => number,
    signal: () => AbortSignal,
    onSharedKey: () => void = () => undefined,
  ) {
    this.#onSharedKey = onSharedKey;
    this.#client = client;
    this.#order = order;
    this.#merchant = merchant;
    this.#timeLeftMs = timeLeftMs;
    this.#signal = signal;
    this.#base = merchant.url === undefined ? undefined : new URL(merchant.url);
  }

  /**
   * The merchant's got; with a name, the one for another write of the same order, which has a key of its own.
   *
   * A relative path is joined below the merchant's URL: `items/1` under `https://pos/orders?tenant=5` is
   * `https://pos/orders/items/1`. The empty path is that URL itself, query included. A leading slash is refused. An absolute
   * URL goes where it says, if the address guard lets it; at another origin it carries none of the merchant's headers.
   * Options of a call win over what is set here, except that nothing outlives the attempt's time.
   */
  client(name?: string): Got {
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    const { identity, attempt } = this.#order;
    const made = this.#client.handlers.extend({
      prefixUrl: this.#base === undefined ? '' : `${this.#base.origin}${this.#base.pathname}`,
      headers: {
        ...this.#merchant.headers,
        'idempotency-key': headerKey(name === undefined ? identity : `${identity}:${name}`),
        'orderlane-attempt': String(attempt),
      },
      handlers: [this.#onCall],
    }) as Got;
    this.#clients.set(name, made);
    return made;
  }

  /**
   * What something that `deliver` threw comes to. A DeliveryError names it, an error of got's is judged by its status or
   * by whether bytes left, anything else is `failed`. But once another call of the attempt may have been processed,
   * nothing short of `rejected` is better than ambiguous.
   */
  outcomeOf(thrown: unknown): ThreadOutcome {
    const outcome = judge(thrown);
    if (outcome.kind !== 'not-sent' && outcome.kind !== 'failed' && outcome.kind !== 'throttled') return outcome;
    const own = thrown instanceof RequestError ? thrown.timings : undefined;
    const others = this.#calls.filter((call) => own === undefined || call.request.timings !== own);
    if (!others.some(mayHaveBeenProcessed)) return outcome;
    const reason = brief(`${outcome.reason}, after another call of the attempt that may have arrived`);
    if (outcome.kind !== 'throttled') return { kind: 'ambiguous', reason };
    return { ...outcome, kind: 'ambiguous', reason };
  }

  /**
   * Waits for the calls that the handler has not waited for, and rejects as the first of them does: a handler that forgets
   * an `await` cannot lose an order.
   */
  async finished(): Promise<void> {
    await Promise.all(this.#open);
  }

  /** got asks it about every call, with the options that the call will have. */
  readonly #onCall: HandlerFunction = (options, next) => {
    if (!(options instanceof Options)) return next(options); // not even options: got rejects the call by itself
    const left = Math.max(0, this.#timeLeftMs());
    options.timeout = { ...options.timeout, request: Math.min(options.timeout.request ?? left, left) };
    const abort = this.#newAbort();
    options.signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
    if (options.url instanceof URL) this.#fitTo(options, options.url);
    this.#noteWrite(options);
    const secure = options.url instanceof URL && options.url.protocol === 'https:';
    // got would read the body of a stream's error status, however large, before it says so.
    const checked = options.isStream === true && options.throwHttpErrors;
    if (checked) options.throwHttpErrors = false;
    const result = next(options);
    const events = result as unknown as CallEvents;
    if (options.isStream !== true) {
      const call = result as unknown as Promise<unknown>;
      const ended = (): void => void this.#open.delete(call);
      this.#open.add(call);
      call.then(ended, ended);
    }
    if (checked) {
      const stream = result as unknown as Request;
      stream.once('response', (response: PlainResponse & { ok: boolean }) => {
        if (!response.ok) stream.destroy(new HTTPError(response));
      });
    }
    events.on('request', (request) => {
      const call: Call = { request, secure };
      this.#calls.push(call);
      request.once('response', (response) => {
        call.response = response;
      });
    });
    const max = this.#client.maxResponseBytes;
    events.on('downloadProgress', ({ transferred }) => {
      // Not the request but the call is ended: what a packed answer unpacks to may have arrived long ago.
      if (transferred > max) abort.abort(new AnswerTooLarge(`the answer is larger than ${max} bytes`));
    });
    return result;
  };

  /** A merchant that honours keys takes a second, other write with a key that it knows for the first one again. */
  #noteWrite({ method, url, headers }: Options): void {
    const key = headers['idempotency-key'];
    if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || typeof key !== 'string') return;
    const write = `${method} ${String(url)}`;
    const earlier = this.#writes.get(key);
    if (earlier === undefined) this.#writes.set(key, write);
    else if (earlier !== write) this.#onSharedKey();
  }

  /** Aborted with the attempt, and by itself. */
  #newAbort(): AbortController {
    const abort = new AbortController();
    const signal = this.#signal();
    if (signal.aborted) abort.abort(signal.reason);
    else if (this.#aborts.length === 0) {
      signal.addEventListener('abort', () => this.#aborts.forEach((each) => each.abort(signal.reason)), { once: true });
    }
    this.#aborts.push(abort);
    return abort;
  }

  #fitTo(options: Options, url: URL): void {
    const base = this.#base;
    if (base === undefined) return;
    if (url.origin !== base.origin) {
      for (const [name, value] of Object.entries(this.#merchant.headers)) {
        if (options.headers[name] === value) delete options.headers[name];
      }
    } else if (url.pathname === `${base.pathname}/` || (url.pathname === base.pathname && url.search === '')) {
      // got ends a prefix with a slash, and takes none with a query.
      url.pathname = base.pathname;
      if (url.search === '') url.search = base.search;
    }
  }
}

function judge(thrown: unknown): ThreadOutcome {
  if (thrown instanceof RequestError) return outcomeOfError(thrown);
  const reason = brief(redact(messageOf(thrown)));
  if (!isDeliveryError(thrown)) return { kind: 'failed', reason };
  const { outcome: kind, retryAfterMs } = thrown;
  const later =
    retryAfterMs !== undefined && retryAfterMs >= 0 ? { retryAfterMs: Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) } : {};
  switch (kind) {
    case 'rejected':
    case 'not-sent':
      return { kind, reason };
    case 'ambiguous':
    case 'throttled':
      return { kind, reason, ...later };
    default: // from a handler that is not type-checked
      return { kind: 'failed', reason: brief(`DeliveryError with the outcome ${String(kind)}: ${reason}`) };
  }
}

/** By name: a handler may have its own copy of this package. */
function isDeliveryError(thrown: unknown): thrown is DeliveryError {
  return thrown instanceof Error && thrown.name === 'DeliveryError' && 'outcome' in thrown;
}

function mayHaveBeenProcessed({ request, secure, response }: Call): boolean {
  if (response !== undefined) {
    if (!response.complete) return true;
    const { kind } = outcomeOfAnswer(response.statusCode ?? 0, response.headers);
    return kind === 'delivered' || kind === 'ambiguous';
  }
  if (request.reusedSocket) return true;
  const connected = secure ? request.timings?.secureConnect : request.timings?.connect;
  return connected !== undefined || !request.destroyed;
}
