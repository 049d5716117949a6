import type { AsyncLocalStorage } from 'node:async_hooks';
import { systemClock } from '../clock.ts';
import type { Handler, HandlerLog } from '../handler.ts';
import { isJson } from '../is-json.ts';
import { forward } from '../merchant/forward.ts';
import type { HttpClient } from '../merchant/http-client.ts';
import type { Merchant, Order } from '../order.ts';
import { type Batch, ORDER_FIELDS, outcomeCode, SENDING, type ThreadOutcome } from '../protocol.ts';
import { NONE, type SlotTable } from '../slot-table.ts';
import { TimeLimits } from '../time-limits.ts';
import { Attempt, NotJson, type Place, runAttempt, type Shared } from './attempt.ts';

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

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // The parser's own words would quote customer data.
    throw new NotJson('the body is not JSON');
  }
}
