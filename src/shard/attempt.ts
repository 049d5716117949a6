import { type Got, RequestError } from 'got';
import { answerOf, returnedOf, withAnswer } from '../answer.ts';
import { systemClock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Context, Handler, HandlerLog } from '../handler.ts';
import { AttemptClient } from '../merchant/attempt-client.ts';
import type { Merchant, Order } from '../order.ts';
import { brief } from '../outcome.ts';
import type { ThreadOutcome } from '../protocol.ts';
import { redact } from '../redact.ts';
import { Limited } from '../time-limits.ts';
import type { RunnerParts } from './run-handler.ts';

/** An order's place in the slot table, for as long as the slot has this generation. */
export interface Place {
  readonly slot: number;
  readonly generation: number;
}

const ABORT_GRACE_MS = 100;

/** What `order.json()` throws for a body that is not JSON; it makes the order `malformed`. */
export class NotJson extends Error {}

/** What all attempts of a thread have in common: a function of its own for each would weigh as much as the attempt. */
export interface Shared {
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
export class Attempt extends Limited implements Context, Place {
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

export function runAttempt(attempt: Attempt, handler: Handler, confirmFirst: boolean): void {
  attempt.run(handler, confirmFirst);
}

function abortAttempt(attempt: Attempt): void {
  attempt.abort();
}
