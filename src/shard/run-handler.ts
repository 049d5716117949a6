import type { AsyncLocalStorage } from 'node:async_hooks';
import { type Got, RequestError } from 'got';
import { answerOf, returnedOf, withAnswer } from '../answer.ts';
import { systemClock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Context, Handler, HandlerLog } from '../handler.ts';
import { isJson } from '../is-json.ts';
import { AttemptClient } from '../merchant/attempt-client.ts';
import { forward } from '../merchant/forward.ts';
import type { HttpClient } from '../merchant/http-client.ts';
import type { Merchant, Order } from '../order.ts';
import { brief } from '../outcome.ts';
import { type Batch, ORDER_FIELDS, outcomeCode, SENDING, type ThreadOutcome } from '../protocol.ts';
import { redact } from '../redact.ts';
import { NONE, type SlotTable } from '../slot-table.ts';
import { Limited, TimeLimits } from './time-limits.ts';

/** An order's place in the slot table, for as long as the slot has this generation. */
export interface Place {
  readonly slot: number;
  readonly generation: number;
}

export interface RunnerParts {
  /** Absent for the built-in forwarder. */
  readonly handler: Handler | undefined;
  readonly http: HttpClient;
  readonly table: SlotTable;
  /** Whose order a piece of a handler works for, across its awaits. */
  readonly current: AsyncLocalStorage<Place>;
  readonly logger: HandlerLog & { child(bindings: object): HandlerLog };
  /** What is told once and not for every order. */
  readonly told: { sharedKey: boolean };
  /** The values of one outcome; see OUTCOME_FIELDS. */
  report(...outcome: unknown[]): void;
  /** The main thread waits to hear that orders were begun. */
  wake(): void;
}

const ABORT_GRACE_MS = 100;
/** So long a turn of the event loop may start orders: what is under way waits for it. */
const TURN_MS = 10;

/**
 * Runs the orders of a shard on its thread. Holds no state of theirs beyond the call, but for batches that wait for a turn
 * of their own: a burst of thousands would keep the first of them from leaving until the last is started, and connections
 * that were made meanwhile from being noticed.
 */
export class Runner {
  readonly #parts: RunnerParts;
  readonly #merchants = new Map<string, Merchant>();
  readonly #limits = new TimeLimits();
  readonly #shared: Shared;
  /** The merchant that came last as a whole; see Batch. */
  #pattern: Merchant | undefined;
  #batches: Batch[] = [];
  /** When this turn is over, on the clock's monotonic scale; absent before it has started an order. */
  #turnEndsAt: number | undefined;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    const current = (): Attempt => parts.current.getStore() as Attempt;
    this.#shared = {
      returned: (value) => current().returned(value),
      threw: (error) => current().threw(error),
      ended: (attempt, outcome) => {
        attempt.endLimit();
        this.#end(attempt.slot, attempt.generation, outcome);
      },
    };
  }

  accept(batch: Batch): void {
    const now = systemClock.now();
    const endsAt = this.#turnEndsAt ?? this.#beginTurn(now);
    if (this.#batches.length > 0 || now >= endsAt) this.#batches.push(batch);
    else this.#take(batch);
  }

  #beginTurn(now: number): number {
    const endsAt = now + TURN_MS;
    this.#turnEndsAt = endsAt;
    setImmediate(() => this.#nextTurn());
    return endsAt;
  }

  #nextTurn(): void {
    this.#turnEndsAt = undefined;
    if (this.#batches.length === 0) return;
    const endsAt = this.#beginTurn(systemClock.now());
    while (this.#batches.length > 0 && systemClock.now() < endsAt) this.#take(this.#batches.shift() as Batch);
  }

  #take(batch: Batch): void {
    // In this order: a merchant that was idle may be forgotten and come back in one batch.
    for (const merchantId of batch.forget ?? []) this.#merchants.delete(merchantId);
    this.#learn(batch.merchants ?? []);
    const { orders } = batch;
    const { table } = this.#parts;
    for (let i = 0; i < orders.length; i += ORDER_FIELDS) {
      const slot = orders[i] as number;
      const generation = orders[i + 1] as number;
      const merchant = this.#merchants.get(orders[i + 2] as string) as Merchant;
      const id = orders[i + 3] as string;
      const identity = orders[i + 4] as string;
      // Equal texts are kept once: each came as one of its own.
      const order = new FlatOrder(
        merchant.id,
        id,
        identity === id ? id : identity,
        orders[i + 5] as number,
        orders[i + 8] as number,
        orders[i + 9] as string,
      );
      table.running(slot, generation);
      this.#start(slot, generation, order, merchant, orders[i + 6] === 1, orders[i + 7] as number);
      table.running(NONE, 0);
    }
    if (table.begin(orders.length / ORDER_FIELDS)) this.#parts.wake();
  }

  #learn(merchants: NonNullable<Batch['merchants']>): void {
    for (let i = 0; i < merchants.length; i++) {
      const each = merchants[i] as Merchant | string;
      if (typeof each === 'string') {
        const url = merchants[++i] as string;
        const alike = { ...(this.#pattern as Merchant), id: each };
        this.#merchants.set(each, url === '' ? alike : { ...alike, url });
      } else {
        this.#pattern = each;
        this.#merchants.set(each.id, each);
      }
    }
  }

  #start(
    slot: number,
    generation: number,
    order: FlatOrder,
    merchant: Merchant,
    confirmFirst: boolean,
    deadlineAt: number,
  ): void {
    const leftMs = deadlineAt - systemClock.now();
    if (leftMs <= 0) {
      this.#end(slot, generation, { kind: 'expired', reason: 'its deadline passed before it could be sent' });
      return;
    }
    const timeoutMs = Math.min(merchant.timeoutMs, leftMs);
    const { handler, table, current } = this.#parts;
    if (handler === undefined) this.#forward(slot, generation, order, merchant, timeoutMs);
    else {
      // A handler may bring a client of its own: from here on it may have sent something.
      table.mark(slot, generation, SENDING);
      const attempt = new Attempt(this.#parts, slot, generation, order, merchant, timeoutMs, this.#shared);
      attempt.limitBy(this.#limits);
      current.run(attempt, runAttempt, attempt, handler, confirmFirst);
    }
  }

  #forward(slot: number, generation: number, order: FlatOrder, merchant: Merchant, timeoutMs: number): void {
    const end = (outcome: ThreadOutcome): void => this.#end(slot, generation, outcome);
    if (!isJson(order.body)) {
      end({ kind: 'malformed', reason: 'the body is not JSON' });
      return;
    }
    const sending = (): void => {
      this.#parts.table.mark(slot, generation, SENDING);
    };
    void forward(this.#parts.http, order, merchant, timeoutMs, sending).then(end);
  }

  #end(slot: number, generation: number, outcome: ThreadOutcome): void {
    const code = outcomeCode(outcome);
    if (!this.#parts.table.mark(slot, generation, code)) return;
    const { reason, status, retryAfterMs, answer } = outcome as {
      reason?: string;
      status?: number;
      retryAfterMs?: number;
      answer?: string;
    };
    this.#parts.report(slot, generation, code, reason, status, retryAfterMs, answer);
  }
}

/** An order from the flat array. Its body is parsed when somebody asks: building the values costs more than all else here. */
class FlatOrder implements Order {
  readonly merchantId: string;
  readonly id: string;
  readonly identity: string;
  readonly attempt: number;
  readonly publishedAt: number;
  readonly body: string;
  #value: unknown;

  constructor(merchantId: string, id: string, identity: string, attempt: number, publishedAt: number, body: string) {
    this.merchantId = merchantId;
    this.id = id;
    this.identity = identity;
    this.attempt = attempt;
    this.publishedAt = publishedAt;
    this.body = body;
  }

  json<T = unknown>(): T {
    this.#value ??= parse(this.body);
    return this.#value as T;
  }
}

/** What `order.json()` throws for a body that is not JSON; it makes the order `malformed`. */
class NotJson extends Error {}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // The parser's own words would quote customer data.
    throw new NotJson('the body is not JSON');
  }
}

/** What all attempts of a thread have in common: a function of its own for each would weigh as much as the attempt. */
interface Shared {
  /** Of the attempt in whose context it is called. */
  readonly returned: (value: unknown) => void;
  /** Of the attempt in whose context it is called. */
  readonly threw: (error: unknown) => void;
  readonly ended: (attempt: Attempt, outcome: ThreadOutcome) => void;
}

/**
 * One try of a handler at one order: its context, its time limit, and what it came to. Tens of thousands may wait at once,
 * so what it needs is in its fields, and not in closures and promises of its own.
 */
class Attempt extends Limited implements Context, Place {
  readonly slot: number;
  readonly generation: number;
  readonly merchant: Merchant;
  readonly #parts: RunnerParts;
  readonly #order: Order;
  readonly #timeoutMs: number;
  #calls: AttemptClient | undefined;
  #abort: AbortController | undefined;
  #log: HandlerLog | undefined;
  readonly #shared: Shared;
  #hasEnded = false;

  constructor(
    parts: RunnerParts,
    slot: number,
    generation: number,
    order: Order,
    merchant: Merchant,
    timeoutMs: number,
    shared: Shared,
  ) {
    super(systemClock.now() + timeoutMs);
    this.#parts = parts;
    this.slot = slot;
    this.generation = generation;
    this.#order = order;
    this.merchant = merchant;
    this.#timeoutMs = timeoutMs;
    this.#shared = shared;
  }

  get http(): Got {
    return this.#client().client();
  }

  get attempt(): number {
    return this.#order.attempt;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  get log(): HandlerLog {
    const { merchantId, id, attempt } = this.#order;
    this.#log ??= this.#parts.logger.child({ merchant: merchantId, order: id, attempt });
    return this.#log;
  }

  call(name: string): Got {
    return this.#client().client(name);
  }

  timeLeftMs(): number {
    return Math.max(0, this.endsAt - systemClock.now());
  }

  /** Ends once, and in time whatever the handler does, short of blocking the thread. Never rejects. */
  run(handler: Handler, confirmFirst: boolean): void {
    if (confirmFirst && handler.confirm !== undefined) void this.#confirmFirst(handler);
    else this.#deliver(handler);
  }

  async #confirmFirst(handler: Handler): Promise<void> {
    const known = await this.#confirm(handler);
    if (known !== undefined) this.#end(known);
    else if (!this.#hasEnded && this.timeLeftMs() > 0) this.#deliver(handler);
    // Else its time is over: another attempt asks again.
  }

  /** Not an async function: what one keeps of itself while it waits weighs more than all else here. */
  #deliver(handler: Handler): void {
    try {
      const returned: unknown = handler.deliver(this.#order, this);
      then(returned, this.#shared.returned, this.#shared.threw);
    } catch (error) {
      this.threw(error);
    }
  }

  returned(value: unknown): void {
    if (this.#calls === undefined) {
      this.#delivered(value);
      return;
    }
    void this.#calls.finished().then(
      () => this.#delivered(value),
      (error: unknown) => this.threw(error),
    );
  }

  #delivered(value: unknown): void {
    try {
      const { answers } = this.#parts.http;
      this.#end(answers ? withAnswer({ kind: 'delivered' }, returnedOf(value)) : { kind: 'delivered' });
    } catch (error) {
      this.threw(error); // what it returned may be a proxy that throws
    }
  }

  threw(error: unknown): void {
    this.#end(this.#outcomeOf(error));
  }

  /** In its own context: who listens to its signal may throw, and then it is the cause. */
  timeIsOver(): void {
    this.#parts.current.run(this, abortAttempt, this);
  }

  abort(): void {
    // A call that ends by this abort knows whether its bytes left: it may say so before it is judged as late. Whoever
    // asks for the signal after this finds it aborted.
    const asked = this.#abort !== undefined;
    this.#abort ??= new AbortController();
    this.#abort.abort(new Error('the time for this attempt is over'));
    const late = (): void => {
      this.#end({ kind: 'ambiguous', reason: `the handler did not end within ${Math.round(this.#timeoutMs)} ms` });
    };
    if (asked) setTimeout(late, ABORT_GRACE_MS);
    else late();
  }

  #end(outcome: ThreadOutcome): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#shared.ended(this, outcome);
  }

  #tellSharedKey(): void {
    if (this.#parts.told.sharedKey) return;
    this.#parts.told.sharedKey = true;
    this.log.warn(
      {},
      "the handler makes two different writes with one idempotency key: a merchant that honours it ignores the second; use ctx.call('name') for it (told once)",
    );
  }

  /** Made when it is first asked for: not every handler makes its calls with it. */
  #client(): AttemptClient {
    this.#calls ??= new AttemptClient(
      this.#parts.http,
      this.#order,
      this.merchant,
      () => this.timeLeftMs(),
      () => this.signal,
      () => this.#tellSharedKey(),
    );
    return this.#calls;
  }

  /** What it comes to when the order need not or may not be sent; undefined when it is not there. */
  async #confirm(handler: Handler): Promise<ThreadOutcome | undefined> {
    try {
      const found: unknown = await handler.confirm?.(this.#order, this);
      if (found === 'there') return { kind: 'delivered' };
      if (found === 'not-there') return undefined;
      const got = brief(String(found), 40);
      return { kind: 'ambiguous', reason: `confirm must return 'there' or 'not-there', not ${got}` };
    } catch (error) {
      // Nobody knows more than before: the order may still be there from an earlier attempt.
      return { kind: 'ambiguous', reason: brief(`confirm failed: ${redact(messageOf(error))}`) };
    }
  }

  #outcomeOf(error: unknown): ThreadOutcome {
    if (error instanceof NotJson) return { kind: 'malformed', reason: error.message };
    const outcome = this.#client().outcomeOf(error);
    if (!this.#parts.http.answers || !(error instanceof RequestError) || error.response === undefined) return outcome;
    return withAnswer(outcome, answerOf(error.response));
  }
}

const NativePromise = Promise;
const thenOf = Reflect.get(Promise.prototype, 'then') as (...callbacks: ((value: unknown) => void)[]) => unknown;

/** In the context in which it is called, whatever a handler has made of `Promise` or brings in its place. */
function then(value: unknown, returned: (value: unknown) => void, threw: (error: unknown) => void): void {
  Reflect.apply(thenOf, NativePromise.resolve(value), [returned, threw]);
}

function runAttempt(attempt: Attempt, handler: Handler, confirmFirst: boolean): void {
  attempt.run(handler, confirmFirst);
}

function abortAttempt(attempt: Attempt): void {
  attempt.abort();
}
