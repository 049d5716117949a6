import type { Delivery, Sink, Source, Window } from '../../src/broker/source.ts';
import { Dispatcher } from '../../src/dispatcher/dispatcher.ts';
import type { Entry } from '../../src/dispatcher/ledger.ts';
import { shardOf } from '../../src/dispatcher/shard-key.ts';
import { BREAKER, type Merchant } from '../../src/order.ts';
import type { Settlement } from '../../src/outcome.ts';
import { USABLE } from '../../src/window.ts';
import { EventQueue } from './event-queue.ts';
import { CALM_MS, FAULT_MS, type Kind, type Load, Merchants, RECOVERY_MS } from './load.ts';
import { SimulatedThread } from './threads.ts';

const TIMEOUT_MS = 15_000;
const DEADLINE_MS = 600_000;
const WINDOW_BYTES = 2 ** 28;
const CONFIRM_MS = 2;
/** What a hop costs the broker, of what an order costs it, its publish included. */
const HOP_COST = 0.6;
/** It looks for an acked delivery among those of its channel; a channel has so many, and full ones make all cost a third more. */
const CHANNEL = 512;
const FULL_COST = 1 / 3;
const TICK_MS = 100;
const SWEEP_MS = 5_000;
const SHARDS = 2;
const BYTES = 2_400;

/** What became of the orders of one kind of merchant that were published in one stretch of time. */
export interface Told {
  /** From publish to answer, in milliseconds, ascending. */
  readonly latencies: readonly number[];
  readonly published: number;
  readonly delivered: number;
  readonly ended: number;
  readonly mostHops: number;
}

interface Order {
  readonly number: number;
  readonly rank: number;
  readonly publishedAt: number;
  hops: number;
  deliveredAt: number;
  ended: boolean;
}

export interface Run {
  readonly budget: number;
  readonly load: Load;
  readonly seed: number;
  readonly faulty: boolean;
  /** Orders a second that the broker can take in and give out, one after the other; absent: as many as come. */
  readonly brokerPerSecond?: number | undefined;
  /** Orders a second that all threads can begin; absent: as many as come. */
  readonly threadsPerSecond?: number | undefined;
  /** @default 30000 */
  readonly prefetch?: number | undefined;
}

/** The product's own dispatcher and lanes between a simulated broker and simulated merchants. */
export class World {
  readonly #run: Run;
  readonly #time = new EventQueue();
  readonly #merchants: Merchants;
  readonly #orders: Order[] = [];
  readonly #entries = new Map<string, Merchant>();
  #calls = 0;
  /** Most calls in flight at once. */
  peak = 0;
  /** Deferrals and retries, of all orders together. */
  hops = 0;
  /** Whether the dispatcher said that its budget is too small. */
  pressed = false;

  constructor(run: Run) {
    this.#run = run;
    this.#merchants = new Merchants(run.load, run.seed);
  }

  run(): void {
    const { budget, load, seed } = this.#run;
    const time = this.#time;
    const prefetch = this.#run.prefetch ?? 30_000;
    const source = new SimulatedSource(
      time,
      (number) => this.#end(number),
      (number) => this.#hop(number),
      prefetch,
      this.#run.brokerPerSecond,
    );
    const perThread = (this.#run.threadsPerSecond ?? Number.POSITIVE_INFINITY) / SHARDS;
    const threads = Array.from({ length: SHARDS }, () => new SimulatedThread(time, perThread, () => dispatcher.turn()));
    let dice = seed;
    const random = (): number => this.#merchants.dice(++dice, 6);
    const dispatcher: Dispatcher = new Dispatcher(
      {
        concurrency: budget,
        prefetch,
        maxAttempts: 6,
        maxCrashes: 3,
        backoffMs: 1_000,
        backoffMaxMs: 60_000,
        canConfirm: false,
        outcomes: 'off',
      },
      {
        source,
        shards: {
          shardOf: (merchantId) => shardOf(merchantId, SHARDS),
          isReady: () => true,
          hasRoom: (shard, catchesUp) => (threads[shard] as SimulatedThread).hasRoom(catchesUp),
          anyHasRoom: () => threads.some((thread) => thread.hasRoom(false)),
          hand: (entry) =>
            (threads[entry.lane.shard] as SimulatedThread).hand(entry.lane.catchesUp, () =>
              this.#call(entry, dispatcher),
            ),
          forget: () => undefined,
          stats: () => [],
        },
        directory: { find: (merchantId) => this.#entry(merchantId) },
        clock: time,
        random,
        log: {
          debug: () => undefined,
          info: () => undefined,
          warn: (fields) => {
            this.pressed ||= 'concurrency' in fields;
          },
        },
      },
    );
    source.attach(dispatcher);
    const end = CALM_MS + FAULT_MS + RECOVERY_MS;
    const arrive = (): void => {
      const number = this.#orders.length;
      const rank = this.#merchants.of(number);
      this.#orders.push({ number, rank, publishedAt: time.now(), hops: 0, deliveredAt: Number.NaN, ended: false });
      source.publish({ number, merchantId: `m-${rank}`, hop: 0, attempt: 1, publishedAt: time.now(), notBefore: 0 });
      const gapMs = (-Math.log(1 - this.#merchants.dice(number, 7)) * 1000) / load.ratePerSecond;
      if (time.now() + gapMs < end) time.after(gapMs, arrive);
    };
    time.after(0, arrive);
    time.every(TICK_MS, end + DEADLINE_MS, () => {
      for (const thread of threads) thread.look();
      dispatcher.tick();
    });
    time.every(SWEEP_MS, end + DEADLINE_MS, () => dispatcher.sweep());
    time.runUntil(end + DEADLINE_MS);
  }

  /** Of the orders published between these times, for merchants of this kind. */
  told(kind: Kind, fromMs: number, toMs: number): Told {
    const mine = this.#orders.filter(
      ({ rank, publishedAt }) => this.#merchants.kind(rank) === kind && publishedAt >= fromMs && publishedAt < toMs,
    );
    const delivered = mine.filter(({ deliveredAt }) => !Number.isNaN(deliveredAt));
    return {
      latencies: delivered.map(({ deliveredAt, publishedAt }) => deliveredAt - publishedAt).sort((a, b) => a - b),
      published: mine.length,
      delivered: delivered.length,
      ended: mine.filter(({ ended }) => ended).length,
      mostHops: mine.reduce((most, { hops }) => Math.max(most, hops), 0),
    };
  }

  #call(entry: Entry, dispatcher: Dispatcher): void {
    const { attempt, orderId } = entry.delivery;
    const order = this.#orders[Number(orderId)] as Order;
    const latency = this.#merchants.latency(order.rank, order.number, attempt, this.#time.now(), this.#run.faulty);
    const limit = Math.min(TIMEOUT_MS, entry.delivery.deadlineAt - this.#time.now());
    this.peak = Math.max(this.peak, ++this.#calls);
    this.#time.after(Math.min(latency, limit), () => {
      this.#calls--;
      if (latency <= limit) {
        order.deliveredAt = this.#time.now();
        dispatcher.outcome(entry, { kind: 'delivered', status: 200 });
      } else {
        dispatcher.outcome(entry, { kind: 'ambiguous', reason: 'no complete answer in time' });
      }
      dispatcher.turn();
    });
  }

  #end(number: number): void {
    (this.#orders[number] as Order).ended = true;
  }

  #hop(number: number): void {
    (this.#orders[number] as Order).hops++;
    this.hops++;
  }

  #entry(merchantId: string): Merchant {
    let entry = this.#entries.get(merchantId);
    if (entry === undefined) {
      entry = {
        id: merchantId,
        headers: {},
        timeoutMs: TIMEOUT_MS,
        concurrency: 50,
        breaker: BREAKER,
        paused: false,
        weight: 1,
        duplicates: 'idempotent',
        keyWindowMs: 86_400_000,
      };
      this.#entries.set(merchantId, entry);
    }
    return entry;
  }
}

interface Message {
  readonly number: number;
  readonly merchantId: string;
  readonly hop: number;
  readonly attempt: number;
  readonly publishedAt: number;
  readonly notBefore: number;
}

/** A broker that loses nothing: a queue, a prefetch, confirms a little later, and a ladder. */
class SimulatedSource implements Source {
  readonly #time: EventQueue;
  readonly #ended: (number: number) => void;
  readonly #hopped: (number: number) => void;
  readonly #queue: Message[] = [];
  #head = 0;
  #unsettled = 0;
  #sink: Sink | undefined;
  readonly #prefetch: number;
  readonly #costMs: number;
  /** When the broker has done all that it was given. */
  #freeAt = 0;

  constructor(
    time: EventQueue,
    ended: (number: number) => void,
    hopped: (number: number) => void,
    prefetch: number,
    perSecond = Number.POSITIVE_INFINITY,
  ) {
    this.#time = time;
    this.#ended = ended;
    this.#hopped = hopped;
    this.#prefetch = prefetch;
    this.#costMs = 1000 / perSecond;
  }

  /** How long the broker needs until it has done one more thing of this cost, in milliseconds. */
  #work(part: number): number {
    const now = this.#time.now();
    const inChannel = this.#unsettled / Math.ceil(this.#prefetch / CHANNEL);
    const slower = 1 + FULL_COST * (inChannel / CHANNEL);
    this.#freeAt = Math.max(now, this.#freeAt) + this.#costMs * part * slower;
    return this.#freeAt - now;
  }

  attach(sink: Sink): void {
    this.#sink = sink;
  }

  publish(message: Message): void {
    this.#time.after(this.#work(message.hop === 0 ? 1 : HOP_COST / 2), () => {
      this.#queue.push(message);
      this.#deliver();
    });
  }

  settle(delivery: Delivery, settlement: Settlement): 'settled' | 'pending' {
    const number = Number(delivery.orderId);
    if (settlement.kind === 'ack') {
      this.#ended(number);
      this.#free();
      return 'settled';
    }
    this.#time.after(CONFIRM_MS + this.#work(HOP_COST / 2), () => {
      if (settlement.kind === 'retry' || settlement.kind === 'defer') this.#sendAway(delivery, settlement);
      else this.#ended(number);
      this.#sink?.settled(delivery);
      this.#free();
    });
    return 'pending';
  }

  #sendAway(delivery: Delivery, settlement: Extract<Settlement, { kind: 'retry' | 'defer' }>): void {
    const number = Number(delivery.orderId);
    this.#hopped(number);
    const message: Message = {
      number,
      merchantId: delivery.merchantId,
      hop: delivery.hop + 1,
      attempt: settlement.kind === 'retry' ? settlement.attempt : delivery.attempt,
      publishedAt: delivery.publishedAt,
      notBefore: settlement.notBefore ?? 0,
    };
    this.#time.after(settlement.delayMs, () => this.publish(message));
  }

  #free(): void {
    this.#unsettled--;
    this.#time.after(0, () => this.#deliver());
  }

  #deliver(): void {
    while (this.#unsettled < this.#prefetch && this.#head < this.#queue.length) {
      const message = this.#queue[this.#head++] as Message;
      if (this.#head > 65_536) {
        this.#queue.splice(0, this.#head);
        this.#head = 0;
      }
      this.#unsettled++;
      this.#sink?.received(deliveryOf(message, this.#time));
    }
  }

  window(): Window {
    return {
      unsettled: this.#unsettled,
      unsettledBytes: this.#unsettled * BYTES,
      capacity: this.#prefetch,
      capacityBytes: WINDOW_BYTES * USABLE,
      isBlocked: false,
    };
  }

  wantMore(): void {}

  start(): Promise<void> {
    return Promise.resolve();
  }

  backlog(): Promise<number> {
    return Promise.resolve(this.#queue.length - this.#head);
  }

  stopConsuming(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

function deliveryOf({ number, merchantId, hop, attempt, publishedAt, notBefore }: Message, time: EventQueue): Delivery {
  return {
    epoch: 1,
    tag: number,
    redelivered: false,
    identity: `i-${number}`,
    orderId: String(number),
    merchantId,
    attempt,
    hop,
    ends: 0,
    crashes: 0,
    returns: 0,
    cameBack: 0,
    confirmFirst: false,
    possiblySent: false,
    body: '',
    fingerprint: number,
    bytes: BYTES,
    publishedAt: time.wall() - time.now() + publishedAt,
    deadlineAt: publishedAt + DEADLINE_MS,
    notBeforeAt: notBefore === 0 ? 0 : time.now() + Math.max(0, notBefore - time.wall()),
    ours: hop > 0,
    malformed: undefined,
  };
}
