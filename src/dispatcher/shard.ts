import type { EventLoopUtilization } from 'node:perf_hooks';
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { messageOf, OrderlaneError } from '../errors.ts';
import { Pace } from '../pace.ts';
import {
  type Batch,
  type Boot,
  type Booted,
  FREE,
  HANDED,
  ORDER_FIELDS,
  OUTCOME_FIELDS,
  outcomeOf,
  type Report,
  SENDING,
  type ThreadOutcome,
} from '../protocol.ts';
import { NONE, SlotTable } from '../slot-table.ts';
import type { ShardStats } from '../stats.ts';
import type { Entry } from './ledger.ts';

/** What became of a lost thread's orders. */
export interface Loss {
  readonly why: string;
  /** The order whose handler was on the stack, if one was. */
  readonly onStack: Entry | undefined;
  /** Provably not sent. */
  readonly handed: readonly Entry[];
  /** May have been sent. */
  readonly sending: readonly Entry[];
}

export interface ShardEvents {
  outcome(entry: Entry, outcome: ThreadOutcome): void;
  /** A message's outcomes are all told. */
  turn(): void;
  lost(shard: number, loss: Loss): void;
  ready(shard: number): void;
  /** The handler cannot be loaded, or threads do not start. */
  failed(error: OrderlaneError): void;
  log(lines: readonly string[]): void;
  warn(fields: object, message: string): void;
}

export interface ShardOptions {
  readonly index: number;
  /** Orders it may hold at once. */
  readonly slots: number;
  readonly threadTimeoutMs: number;
  readonly boot: Pick<Boot, 'handlerUrl' | 'connectTimeoutMs' | 'allowHosts' | 'logLevel' | 'logFields'>;
}

type State =
  | { readonly kind: 'starting' }
  | { readonly kind: 'ready'; readonly worker: Worker; readonly port: MessagePort }
  /** Its thread was told to end; a native call may keep it from doing so. */
  | { readonly kind: 'ending'; readonly worker: Worker; readonly port: MessagePort }
  | { readonly kind: 'down' }
  | { readonly kind: 'stopped' };

const BATCH = 64;
const BOOT_LIMIT_MS = 20_000;
const RESPAWN_LIMIT_MS = 10_000;
const MEMORY_MB = 1024;
/** What an HTTP call allocates is dead when it ends; the more room it has until then, the less of it is copied. */
const YOUNG_MB = 96;
/** Crashes within this time count as a loop. */
const LOOP_MS = 30_000;
const FREE_RESTARTS = 3;
const MAX_FAILED_BOOTS = 5;
const BACKOFF_MS = 100;
const BACKOFF_MAX_MS = 5_000;

/**
 * One shard: a Piscina of exactly one thread, and the table that says what became of each order in its hands. One pool of
 * many threads would put every shard's tasks in one queue. Orders go out in batches as Piscina tasks; outcomes come
 * back on a port of our own, which can be read to its end when the thread is gone.
 */
export class Shard {
  readonly #options: ShardOptions;
  readonly #events: ShardEvents;
  readonly #table: SlotTable;
  readonly #entries: (Entry | undefined)[];
  readonly #generations: Int32Array;
  /** By slot, the place of its order among all that were handed out. */
  readonly #turns: Float64Array;
  #handed = 0;
  readonly #freeSlots: number[] = [];
  readonly #known = new Map<string, unknown>();
  #first: PromiseWithResolvers<Extract<Booted, { ok: true }>> | undefined;
  #respawn: NodeJS.Timeout | undefined;
  #state: State = { kind: 'starting' };
  #pool: Piscina | undefined;
  #orders: (string | number)[] = [];
  #merchants: NonNullable<Batch['merchants']>[number][] = [];
  #forget: string[] = [];
  readonly #pace = new Pace(() => this.#flush());
  #inFlight = 0;
  #restarts = 0;
  #failedBoots = 0;
  #recentLosses: number[] = [];
  #why: string | undefined;
  #allowHosts: readonly string[];
  #lastBeat = 0;
  #beatAt = 0;
  #utilization: EventLoopUtilization | undefined;

  constructor(options: ShardOptions, events: ShardEvents) {
    this.#options = options;
    this.#events = events;
    this.#allowHosts = options.boot.allowHosts;
    this.#table = new SlotTable(options.slots);
    this.#entries = Array.from({ length: options.slots });
    this.#generations = new Int32Array(options.slots);
    this.#turns = new Float64Array(options.slots);
    for (let slot = options.slots - 1; slot >= 0; slot--) this.#freeSlots.push(slot);
  }

  get isReady(): boolean {
    return this.#state.kind === 'ready';
  }

  /** Resolves when its first thread has loaded the handler; tells whether that can confirm. */
  start(): Promise<Extract<Booted, { ok: true }>> {
    const first = Promise.withResolvers<Extract<Booted, { ok: true }>>();
    this.#first = first;
    this.#createPool();
    return first.promise;
  }

  #createPool(): void {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const pool = new Piscina({
      filename: new URL(`../shard/worker.${extension}`, import.meta.url).href,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: BATCH,
      atomics: 'disabled', // 'sync' stops an idle thread's timers and sockets
      idleTimeout: Number.POSITIVE_INFINITY,
      recordTiming: false,
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB, maxYoungGenerationSizeMb: YOUNG_MB },
    });
    this.#pool = pool;
    // A crash is judged at the thread's exit; without a listener it would end the process.
    pool.on('error', (error: Error) => {
      this.#why ??= messageOf(error);
    });
    pool.on('workerCreate', () => {
      clearTimeout(this.#respawn);
      this.#onThread(pool).then(
        (booted) => {
          this.#failedBoots = 0;
          this.#first?.resolve(booted);
        },
        (error: unknown) => this.#onFailedBoot(pool, error),
      );
    });
    this.#expectThread(pool);
  }

  /** Piscina gives up on a pool whose thread ends before it is ready, and says nothing. */
  #expectThread(pool: Piscina): void {
    clearTimeout(this.#respawn);
    this.#respawn = setTimeout(() => {
      if (this.#state.kind !== 'stopped') this.#onFailedBoot(pool, new Error('no thread could be started'));
    }, RESPAWN_LIMIT_MS);
  }

  /** A first thread that does not load is an error in the handler; later ones are tried again for a while. */
  #onFailedBoot(pool: Piscina, error: unknown): void {
    if (this.#state.kind === 'stopped' || pool !== this.#pool) return;
    this.#recentLosses.push(performance.now());
    if (this.#restarts > 0 && ++this.#failedBoots < MAX_FAILED_BOOTS) {
      this.#events.warn(
        { shard: this.#options.index, reason: messageOf(error) },
        'a thread could not be started; trying again',
      );
      void pool.destroy();
      this.#createPool();
      return;
    }
    const known = error instanceof OrderlaneError && this.#restarts === 0;
    const failure = known ? error : new OrderlaneError('SHARD', messageOf(error), { cause: error });
    this.#first?.reject(failure);
    this.#events.failed(failure);
  }

  /** Hands an order to the thread, with the others that gather. */
  hand(entry: Entry): void {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new OrderlaneError('SHARD', 'more orders in flight than slots');
    const { delivery } = entry;
    const { merchant } = entry.lane;
    const generation = this.#table.open(slot, HANDED);
    this.#entries[slot] = entry;
    this.#generations[slot] = generation;
    this.#turns[slot] = ++this.#handed;
    this.#inFlight++;
    if (this.#known.get(merchant.id) !== merchant) {
      this.#known.set(merchant.id, merchant);
      this.#merchants.push(merchant);
    }
    this.#orders.push(
      slot,
      generation,
      delivery.merchantId,
      delivery.orderId,
      delivery.identity,
      delivery.attempt,
      entry.confirmFirst ? 1 : 0,
      delivery.deadlineAt,
      delivery.publishedAt,
      delivery.body,
    );
    if (this.#orders.length >= BATCH * ORDER_FIELDS) this.#flush();
    else this.#pace.schedule();
  }

  /** A merchant's lane is gone: its entry need not be kept. */
  forget(merchantId: string): void {
    if (this.#known.delete(merchantId)) this.#forget.push(merchantId);
  }

  /** The hosts that the directory now allows. */
  allow(hosts: readonly string[]): void {
    this.#allowHosts = hosts;
    if (this.#state.kind === 'ready') void this.#pool?.run({ kind: 'allow', hosts }).catch(() => undefined); // a thread that is lost boots with them
  }

  /** Replaces the thread when its event loop has stood still for too long. */
  watch(now: number, late: boolean): void {
    const state = this.#state;
    const beat = this.#table.heartbeat();
    if (late || beat !== this.#lastBeat || state.kind !== 'ready') {
      this.#lastBeat = beat;
      this.#beatAt = now;
      return;
    }
    if (now - this.#beatAt < this.#options.threadTimeoutMs || this.#inFlight === 0) return;
    this.#beatAt = now;
    this.#why = `its event loop stood still for ${this.#options.threadTimeoutMs} ms`;
    this.#endThread(state);
  }

  #endThread(state: Extract<State, { kind: 'ready' }>): void {
    this.#state = { ...state, kind: 'ending' };
    void state.worker.terminate();
  }

  stats(): ShardStats {
    const state = this.#state;
    let utilization = 0;
    if (state.kind === 'ready') {
      const current = state.worker.performance.eventLoopUtilization();
      const previous = this.#utilization;
      utilization =
        previous === undefined
          ? current.utilization
          : state.worker.performance.eventLoopUtilization(current, previous).utilization;
      this.#utilization = current;
    }
    return {
      inFlight: this.#inFlight,
      state: state.kind === 'ending' ? 'down' : state.kind,
      restarts: this.#restarts,
      utilization,
    };
  }

  /** Ends the thread, whatever it is doing. Safe before start and twice. */
  async stop(): Promise<void> {
    const state = this.#state;
    clearTimeout(this.#respawn);
    this.#state = { kind: 'stopped' };
    if (state.kind === 'ready' || state.kind === 'ending') state.port.close();
    await this.#pool?.destroy();
  }

  /** Takes in what the thread has posted and the event loop has not come to yet. */
  collect(): void {
    const state = this.#state;
    if (state.kind === 'ready' || state.kind === 'ending') this.#drainPort(state.port);
  }

  #drainPort(port: MessagePort): void {
    for (let posted = receiveMessageOnPort(port); posted !== undefined; posted = receiveMessageOnPort(port)) {
      this.#onReport(posted.message as Report);
    }
  }

  #flush(): void {
    const pool = this.#pool;
    if (this.#orders.length === 0 || this.#state.kind !== 'ready' || pool === undefined) return;
    const batch: Batch = {
      kind: 'batch',
      orders: this.#orders,
      ...(this.#merchants.length === 0 ? {} : { merchants: this.#merchants }),
      ...(this.#forget.length === 0 ? {} : { forget: this.#forget }),
    };
    this.#orders = [];
    this.#merchants = [];
    this.#forget = [];
    pool.run(batch).catch((error: unknown) => {
      // The thread is lost, which its exit will tell; or it did not take the batch in, and nobody knows what it did with it.
      this.#why ??= messageOf(error);
      if (this.#state.kind === 'ready' && this.#pool === pool) this.#endThread(this.#state);
    });
  }

  async #onThread(pool: Piscina): Promise<Extract<Booted, { ok: true }>> {
    const worker = pool.threads[0] as Worker;
    const { port1, port2 } = new MessageChannel();
    const exited = new Promise<void>((resolve) => {
      worker.once('exit', () => {
        this.#onExit(worker, port1);
        resolve();
      });
    });
    await this.#calmDown();
    if (this.#state.kind === 'stopped') throw new Error('stopped');
    const boot: Boot = {
      kind: 'boot',
      shard: this.#options.index,
      port: port2,
      table: this.#table.buffer,
      slots: this.#options.slots,
      ...this.#options.boot,
      allowHosts: this.#allowHosts,
    };
    // Piscina takes its type from the wrong overload of postMessage.
    const booting = pool.run(boot, { transferList: [port2] as never }) as Promise<Booted>;
    const booted = await this.#bootWithin(worker, booting, exited);
    if (!booted.ok) throw new OrderlaneError('USAGE', booted.error);
    port1.on('message', (report: Report) => this.#onReport(report));
    this.#known.clear();
    this.#utilization = undefined;
    this.#why = undefined;
    this.#lastBeat = this.#table.heartbeat();
    this.#beatAt = performance.now();
    this.#state = { kind: 'ready', worker, port: port1 };
    if (boot.allowHosts !== this.#allowHosts) this.allow(this.#allowHosts); // it changed while the handler was loaded
    this.#events.ready(this.#options.index);
    return booted;
  }

  async #bootWithin(worker: Worker, booting: Promise<Booted>, exited: Promise<void>): Promise<Booted> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await Promise.race([
        booting.catch((error: unknown) => Promise.reject(endedWhileLoading(messageOf(error), error))),
        exited.then(() => Promise.reject(endedWhileLoading(this.#why ?? 'it exited'))),
        new Promise<never>((_resolve, reject) => {
          const limit = `the handler was not loaded within ${BOOT_LIMIT_MS / 1000} s`;
          timer = setTimeout(() => {
            reject(new OrderlaneError('SHARD', limit));
            void worker.terminate();
          }, BOOT_LIMIT_MS);
        }),
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Threads that are lost again and again come back later each time. */
  async #calmDown(): Promise<void> {
    const now = performance.now();
    this.#recentLosses = this.#recentLosses.filter((at) => now - at < LOOP_MS);
    const extra = this.#recentLosses.length - FREE_RESTARTS;
    if (extra <= 0) return;
    const waitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(extra, 10));
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }

  #onReport(report: Report): void {
    if (report.log !== undefined) this.#events.log(report.log);
    const outcomes = report.outcomes;
    if (outcomes === undefined) return;
    for (let i = 0; i < outcomes.length; i += OUTCOME_FIELDS) {
      const slot = outcomes[i] as number;
      const entry = this.#entries[slot];
      if (entry === undefined || this.#generations[slot] !== outcomes[i + 1]) continue; // a late message for a reused slot
      this.#release(slot);
      const outcome = outcomeOf(
        outcomes[i + 2] as number,
        outcomes[i + 3] as string | undefined,
        outcomes[i + 4] as number | undefined,
        outcomes[i + 5] as number | undefined,
      );
      this.#events.outcome(entry, outcome as ThreadOutcome);
    }
    this.#events.turn();
  }

  #release(slot: number): void {
    this.#entries[slot] = undefined;
    this.#table.open(slot, FREE);
    this.#freeSlots.push(slot);
    this.#inFlight--;
  }

  /** The thread is gone: first take in all that it had posted, then judge the rest by the table. */
  #onExit(worker: Worker, port: MessagePort): void {
    const state = this.#state;
    if (state.kind === 'stopped') {
      port.close();
      return;
    }
    const held = (state.kind === 'ready' || state.kind === 'ending') && state.worker === worker;
    if (held) this.#state = { kind: 'down' };
    this.#drainPort(port);
    port.close();
    this.#recentLosses.push(performance.now());
    if (!held) return; // it died while it loaded the handler, with nothing in its hands
    this.#restarts++;
    if (this.#pool !== undefined) this.#expectThread(this.#pool);
    this.#orders = [];
    this.#merchants = [];
    this.#forget = [];
    this.#judge(this.#why ?? 'the thread exited');
  }

  #judge(why: string): void {
    const running = this.#table.lastRunning();
    const onStack = running === NONE ? undefined : this.#entries[running];
    this.#table.running(NONE, 0);
    const handed: Entry[] = [];
    const sending: Entry[] = [];
    const slots = [...this.#entries.keys()].filter((slot) => this.#entries[slot] !== undefined);
    slots.sort((a, b) => (this.#turns[a] as number) - (this.#turns[b] as number));
    for (const slot of slots) {
      const entry = this.#entries[slot] as Entry;
      const state = this.#table.state(slot);
      this.#release(slot);
      if (state === HANDED) handed.push(entry);
      else if (state === SENDING) sending.push(entry);
      else this.#events.outcome(entry, outcomeOf(state) ?? { kind: 'ambiguous', reason: why });
    }
    this.#events.lost(this.#options.index, { why, onStack, handed, sending });
    this.#events.turn();
  }
}

function endedWhileLoading(why: string, cause?: unknown): OrderlaneError {
  return new OrderlaneError('SHARD', `the thread ended while it loaded the handler: ${why}`, { cause });
}
