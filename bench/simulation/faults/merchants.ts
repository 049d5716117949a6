import { BREAKER, type DuplicatesPolicy, type Merchant, type Order } from '../../../src/order.ts';
import { stage } from './stage.ts';
import type { Actor } from './virtual-time.ts';

/** What a merchant does with a request. */
export type Mood = 'well' | 'hangs' | 'slow' | 'resets' | 'throttles' | 'fails' | 'refuses' | 'mixed';
const MOODS: readonly Mood[] = ['hangs', 'slow', 'resets', 'throttles', 'fails', 'refuses', 'mixed'];

/** What a call came to, as the thread sees it; a merchant that hangs gives none. */
export type Answer =
  | { readonly kind: 'status'; readonly status: number; readonly retryAfterMs?: number }
  /** The connection broke when the request had been sent. */
  | { readonly kind: 'reset' }
  /** There was no connection. */
  | { readonly kind: 'refused' };

export interface Call {
  readonly order: Order;
  readonly number: number;
  readonly thread: Actor;
  readonly process: Actor;
  readonly timeoutMs: number;
  /** There is a connection: from now on the order may be at the merchant. */
  connected(): void;
}

const CONNECT_MS = 20;
const WIRE_MS = 10;
const LATENCY_MS = 300;
/** How long a process takes to die of an order. */
const DYING_MS = 40;
const PLAIN: Readonly<Record<Exclude<Mood, 'mixed'>, number>> = {
  well: 6,
  hangs: 1,
  slow: 1,
  resets: 1,
  throttles: 1,
  fails: 1,
  refuses: 1,
};

/** The merchants' directory entries, and their APIs. Each keeps what it has taken, and takes an idempotency key once. */
export class Merchants {
  readonly #entries = new Map<string, Merchant>();
  readonly #moods = new Map<string, Mood>();
  readonly #calls = new Map<string, Set<Call>>();
  /** Messages that will never be accepted. */
  readonly unwanted: Set<number> = new Set();
  readonly #taken = new Set<number>();
  /** Merchants that the directory does not have for now. */
  readonly gone: Set<string> = new Set();
  onChange: (() => void) | undefined;

  add(id: string, duplicates: DuplicatesPolicy): void {
    const { dice } = stage();
    this.#entries.set(id, {
      id,
      headers: {},
      timeoutMs: dice.whole(1, 4) * 1000,
      concurrency: dice.whole(1, 5),
      ...(dice.chance(0.2) ? { ratePerSecond: dice.whole(2, 20) } : {}),
      breaker: BREAKER,
      paused: false,
      weight: dice.whole(1, 3),
      duplicates,
      keyWindowMs: dice.chance(0.2) ? 30_000 : 86_400_000,
    });
    this.#moods.set(id, dice.chance(0.7) ? 'well' : dice.one(MOODS));
  }

  get ids(): string[] {
    return [...this.#entries.keys()];
  }

  /** As the directory says it, or said it last. */
  entry(id: string): Merchant {
    return this.#entries.get(id) as Merchant;
  }

  find(id: string): Merchant | undefined {
    return this.gone.has(id) ? undefined : this.#entries.get(id);
  }

  change(id: string, fields: Partial<Merchant>): void {
    this.#entries.set(id, { ...this.entry(id), ...fields });
    this.onChange?.();
  }

  /** One of them is in another mood from now on. */
  turn(): void {
    const { dice, tell } = stage();
    const id = dice.one(this.ids);
    const mood = dice.chance(0.3) ? 'well' : dice.one(MOODS);
    tell?.(`FAULT      merchant ${id}: ${mood}`);
    this.#moods.set(id, mood);
  }

  /** From now on all is well. */
  heal(): void {
    for (const id of this.ids) this.#moods.set(id, 'well');
    this.gone.clear();
    for (const id of this.ids) this.#entries.set(id, { ...this.entry(id), paused: false });
    this.onChange?.();
  }

  /** Makes the call. What comes back after the call's time, or to a thread that is gone, nobody hears. */
  call(call: Call): Promise<Answer> {
    const { time, dice } = stage();
    const { number, thread } = call;
    const merchantId = call.order.merchantId;
    const mood = this.#moodFor(merchantId);
    this.#begin(call, merchantId);
    const endsAt = time.now() + call.timeoutMs;
    const isPoison = number === stage().poison;
    if (isPoison) time.after(dice.between(0, DYING_MS), () => stage().diesOfPoison(), time.outside);
    return new Promise((resolve) => {
      const answer = (given: Answer): void => {
        const { history } = stage();
        const accepted = given.kind === 'status' && given.status < 300;
        if (accepted) history.accepted(number, 1);
        time.after(
          dice.delay(WIRE_MS, 100),
          () => {
            if (time.now() >= endsAt) return;
            if (accepted) history.accepted(number, -1);
            if (given.kind === 'status' && isRefusal(given.status)) history.refused(number, call.process);
            this.#end(call, merchantId);
            resolve(given);
          },
          thread,
        );
      };
      time.after(
        dice.delay(CONNECT_MS, 1_500),
        () => {
          if (time.now() >= endsAt) return;
          if (mood === 'refuses' && !isPoison) {
            answer({ kind: 'refused' });
            return;
          }
          call.connected();
          stage().history.sent(
            number,
            merchantId,
            call.order.identity,
            call.order.attempt,
            call.order.body,
            call.process,
          );
          stage().tell?.(`${thread.name} -> ${merchantId}: #${number}, attempt ${call.order.attempt}`);
          if (!isPoison) time.after(dice.delay(WIRE_MS, 500), () => this.#take(call, mood, answer), time.outside);
        },
        thread,
      );
    });
  }

  /** Whether the merchant has it: what a handler's `confirm` asks. */
  confirm({ number, thread, process, timeoutMs }: Omit<Call, 'connected'>): Promise<boolean> {
    const { time, dice, history, poison } = stage();
    const endsAt = time.now() + timeoutMs;
    // An attempt that is heard of begins the search for what processes die of anew.
    const isPoison = number === poison;
    return new Promise((resolve, reject) => {
      time.after(
        dice.delay(LATENCY_MS, isPoison ? LATENCY_MS : 2_000),
        () => {
          if (time.now() >= endsAt) return;
          if (!isPoison && dice.chance(0.1)) {
            reject(new Error('nobody answers'));
            return;
          }
          const there = this.#taken.has(number);
          stage().tell?.(`${thread.name} asks for #${number}: ${there ? 'there' : 'not there'}`);
          if (there) history.accepted(number, 0);
          else history.refused(number, process);
          resolve(there);
        },
        thread,
      );
    });
  }

  #take(call: Call, mood: Exclude<Mood, 'mixed'>, answer: (given: Answer) => void): void {
    const { time, dice, tell } = stage();
    const { number } = call;
    const later = (ms: number, given: Answer): void => {
      time.after(
        ms,
        () => {
          tell?.(
            `merchant   ${call.order.merchantId} to #${number}: ${given.kind === 'status' ? given.status : given.kind}`,
          );
          answer(given);
        },
        time.outside,
      );
    };
    const latencyMs = dice.delay(LATENCY_MS, 900);
    switch (mood) {
      case 'hangs':
        if (dice.chance(0.5)) this.#taken.add(number);
        return;
      case 'throttles':
        later(latencyMs, {
          kind: 'status',
          status: dice.one([429, 503]),
          ...(dice.chance(0.5) ? { retryAfterMs: dice.whole(1, 12) * 1000 } : {}),
        });
        return;
      case 'fails':
        if (dice.chance(0.3)) this.#taken.add(number);
        later(latencyMs, { kind: 'status', status: 500 });
        return;
      case 'resets':
        if (dice.chance(0.5)) this.#taken.add(number);
        later(dice.delay(LATENCY_MS, 900), { kind: 'reset' });
        return;
      case 'refuses':
      case 'slow':
      case 'well': {
        const wanted = !this.unwanted.has(number);
        if (wanted) this.#taken.add(number);
        later(mood === 'slow' ? dice.between(500, 5_000) : latencyMs, { kind: 'status', status: wanted ? 200 : 422 });
      }
    }
  }

  #moodFor(merchantId: string): Exclude<Mood, 'mixed'> {
    const mood = this.#moods.get(merchantId) as Mood;
    return mood === 'mixed' ? stage().dice.weighted(PLAIN) : mood;
  }

  #begin(call: Call, merchantId: string): void {
    const { time, history, process } = stage();
    const calls = this.#calls.get(merchantId) ?? new Set();
    this.#calls.set(merchantId, calls.add(call));
    time.after(call.timeoutMs, () => this.#end(call, merchantId), time.outside);
    let all = 0;
    for (const ofOne of this.#calls.values()) {
      for (const each of ofOne) {
        if (!each.thread.alive) ofOne.delete(each);
        else all++;
      }
    }
    if (all > process.concurrency) history.found(`${all} calls at once, and --concurrency is ${process.concurrency}`);
    const { concurrency } = this.entry(merchantId);
    if (calls.size > concurrency)
      history.found(`${calls.size} calls at once to ${merchantId}, which allows ${concurrency}`);
  }

  #end(call: Call, merchantId: string): void {
    this.#calls.get(merchantId)?.delete(call);
  }
}

function isRefusal(status: number): boolean {
  return status === 422 || status === 429 || status === 503;
}
