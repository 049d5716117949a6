import type { EventLoopUtilization } from 'node:perf_hooks';
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { messageOf, OrderlaneError } from '../errors.ts';
import type { Lane } from '../lane/lane.ts';
import { LoopUse } from '../loop-use.ts';
import { brief } from '../outcome.ts';
import { Pace } from '../pace.ts';
import { type Boot, type Booted, OUTCOME_FIELDS, outcomeOf, type Report, type ThreadOutcome } from '../protocol.ts';
import { redact } from '../redact.ts';
import type { ShardStats } from '../stats.ts';
import { bootWithin } from './boot-within.ts';
import { CatchUpPace } from './catch-up-pace.ts';
import { CrashLoop } from './crash-loop.ts';
import { Lead } from './lead.ts';
import type { Entry } from './ledger.ts';
import { Outbox } from './outbox.ts';
import { type Judged, ShardSlots } from './shard-slots.ts';

/** What became of a lost thread's orders that it said nothing of. */
export interface Loss extends Omit<Judged, 'ended'> {
  readonly why: string;
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
  readonly boot: Omit<Boot, 'kind' | 'shard' | 'port' | 'table' | 'slots'>;
}

type State =
  | { readonly kind: 'starting' }
  | { readonly kind: 'ready'; readonly worker: Worker; readonly port: MessagePort }
  /** Its thread was told to end; a native call may keep it from doing so. */
  | { readonly kind: 'ending'; readonly worker: Worker; readonly port: MessagePort }
  | { readonly kind: 'down' }
  | { readonly kind: 'stopped' };

const BATCH = 64;
/** Besides one batch for each order there are messages about the directory and the boot. */
const SPARE_TASKS = 1024;
const RESPAWN_LIMIT_MS = 10_000;
const MEMORY_MB = 1024;
/** What an HTTP call allocates is dead when it ends; the more room it has until then, the less of it is copied. */
const YOUNG_MB = 96;
/** Three beats of the thread that did not come. */
const STILL_MS = 300;
const MAX_FAILED_BOOTS = 5;

/**
 * One shard: a Piscina of exactly one thread, and the table that says what became of each order in its hands. One pool of
 * many threads would put every shard's tasks in one queue. Orders go out in batches as Piscina tasks; outcomes come
 * back on a port of our own, which can be read to its end when the thread is gone.
 */
export class Shard {
  readonly #options: ShardOptions;
  readonly #events: ShardEvents;
  readonly #slots: ShardSlots;
  readonly #lead: Lead;
  readonly #catchUp = new CatchUpPace();
  readonly #outbox = new Outbox();
  #first: PromiseWithResolvers<Extract<Booted, { ok: true }>> | undefined;
  #respawn: NodeJS.Timeout | undefined;
  #state: State = { kind: 'starting' };
  #pool: Piscina | undefined;
  readonly #pace = new Pace(() => this.#flush());
  #restarts = 0;
  #failedBoots = 0;
  readonly #crashLoop = new CrashLoop();
  /** The thread that was created last. */
  #newest: Worker | undefined;
  /** Of the same. */
  #exited: Promise<void> = Promise.resolve();
  #why: string | undefined;
  #allowHosts: readonly string[];
  #lastBeat = 0;
  #beatAt = 0;
  /** Its event loop stands still: what it were handed would wait there, and hold a part of the budget that others need. */
  #isStill = false;
  #loop: LoopUse | undefined;
  /** From look to look. */
  #use: LoopUse | undefined;

  constructor(options: ShardOptions, events: ShardEvents) {
    this.#options = options;
    this.#events = events;
    this.#allowHosts = options.boot.allowHosts;
    this.#slots = new ShardSlots(options.slots);
    this.#lead = new Lead(this.#slots.table);
  }

  /** Whether it may be handed orders: it has a thread, and that has a turn to spare for them. */
  get isReady(): boolean {
    return this.#state.kind === 'ready' && !this.#isStill;
  }

  /** Whether another order would soon be begun; if not, `turn` is called when one may be. A thread that is not ready is not to be asked. */
  get hasRoom(): boolean {
    return !this.isReady || this.#lead.hasRoom();
  }

  /** The same for an order of a merchant that catches up; `turn` need not be called for it. */
  get hasRoomToCatchUp(): boolean {
    return !this.isReady || (this.#catchUp.hasRoom && this.#lead.hasRoom());
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
      name: 'task',
      minThreads: 1,
      maxThreads: 1,
      // Never to be reached: Piscina would queue what is too much, and not keep its order, in which merchants become known.
      concurrentTasksPerWorker: this.#options.slots + SPARE_TASKS,
      atomics: 'disabled', // 'sync' stops an idle thread's timers and sockets
      idleTimeout: Number.POSITIVE_INFINITY,
      recordTiming: false,
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB, maxYoungGenerationSizeMb: YOUNG_MB },
    });
    this.#pool = pool;
    pool.on('error', () => undefined); // heard from the thread itself; without a listener it would end the process
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
    this.#crashLoop.lost(performance.now());
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
    const slot = this.#slots.open(entry);
    if (slot === undefined) throw new OrderlaneError('SHARD', 'more orders in flight than slots');
    this.#lead.handed();
    if (entry.lane.catchesUp) this.#catchUp.handed();
    this.#outbox.add(entry, slot, this.#slots.generation(slot));
    if (this.#outbox.size >= BATCH) this.#flush();
    else this.#pace.schedule();
  }

  /** A lane is gone: what its thread knows of the merchant need not be kept. */
  forget(lane: Lane<Entry>): void {
    this.#outbox.forget(lane);
  }

  /** The hosts that the directory now allows. */
  allow(hosts: readonly string[]): void {
    this.#allowHosts = hosts;
    if (this.#state.kind === 'ready') void this.#pool?.run({ kind: 'allow', hosts }).catch(() => undefined); // a thread that is lost boots with them
  }

  /**
   * To be called several times a second: hands nothing more to a thread whose event loop stands still, and replaces it when that
   * takes too long. What the caller was kept from it, in milliseconds, says nothing about the thread.
   */
  watch(now: number, awayMs: number): void {
    this.#catchUp.look(this.#lead.look(now, awayMs), this.#use?.read() ?? 0);
    const state = this.#state;
    const beat = this.#slots.table.heartbeat();
    if (beat !== this.#lastBeat || state.kind !== 'ready') {
      this.#lastBeat = beat;
      this.#beatAt = now;
      this.#moves();
      return;
    }
    this.#beatAt += awayMs;
    if (this.#slots.used === 0) return;
    if (now - this.#beatAt >= STILL_MS) this.#isStill = true;
    if (now - this.#beatAt < this.#options.threadTimeoutMs) return;
    this.#beatAt = now;
    this.#why = `its event loop stood still for ${this.#options.threadTimeoutMs} ms`;
    this.#endThread(state);
  }

  #moves(): void {
    if (!this.#isStill) return;
    this.#isStill = false;
    if (this.isReady) this.#events.ready(this.#options.index);
  }

  #endThread(state: Extract<State, { kind: 'ready' }>): void {
    this.#state = { ...state, kind: 'ending' };
    void state.worker.terminate();
  }

  stats(): ShardStats {
    const state = this.#state;
    return {
      inFlight: this.#slots.used,
      state: this.#shown(state),
      restarts: this.#restarts,
      utilization: state.kind === 'ready' ? (this.#loop?.read() ?? 0) : 0,
    };
  }

  #shown(state: State): ShardStats['state'] {
    if (state.kind === 'ready' && this.#isStill) return 'still';
    return state.kind === 'ending' ? 'down' : state.kind;
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
    if (this.#outbox.size === 0 || this.#state.kind !== 'ready' || pool === undefined) return;
    pool.run(this.#outbox.take()).catch((error: unknown) => {
      // The thread is lost, which its exit will tell; or it did not take the batch in, and nobody knows what it did with it.
      this.#why ??= brief(redact(messageOf(error)));
      if (this.#state.kind === 'ready' && this.#pool === pool) this.#endThread(this.#state);
    });
  }

  async #onThread(pool: Piscina): Promise<Extract<Booted, { ok: true }>> {
    const worker = pool.threads[0] as Worker;
    this.#newest = worker;
    const { port1, port2 } = new MessageChannel();
    // Piscina tells it by rejecting what it runs, in a microtask; a thread's error and its exit can be told in one go.
    worker.once('error', (error) => {
      this.#why ??= brief(redact(messageOf(error)));
    });
    const exited = new Promise<void>((resolve) => {
      worker.once('exit', (code) => {
        this.#onExit(worker, port1, code);
        resolve();
      });
    });
    // The table is the last thread's until its exit is judged; Piscina replaces one that threw before its exit is told.
    const lastExited = this.#exited;
    this.#exited = exited;
    const waitMs = this.#crashLoop.waitMs(performance.now());
    await Promise.all([lastExited, waitMs > 0 && new Promise((resolve) => setTimeout(resolve, waitMs))]);
    // In the meantime an earlier thread's failure may have replaced the pool, too.
    if (this.#state.kind === 'stopped' || pool !== this.#pool) throw new Error('stopped');
    const boot: Boot = {
      kind: 'boot',
      shard: this.#options.index,
      port: port2,
      table: this.#slots.table.buffer,
      slots: this.#options.slots,
      ...this.#options.boot,
      allowHosts: this.#allowHosts,
    };
    // Piscina takes its type from the wrong overload of postMessage.
    const booting = pool.run(boot, { transferList: [port2] as never }) as Promise<Booted>;
    const booted = await bootWithin(worker, booting, exited, () => this.#why);
    if (!booted.ok) throw new OrderlaneError('USAGE', booted.error);
    port1.on('message', (report: Report) => this.#onReport(report));
    this.#outbox.reset();
    const use = (): EventLoopUtilization => worker.performance.eventLoopUtilization();
    this.#loop = new LoopUse(use);
    this.#use = new LoopUse(use, 0);
    this.#why = undefined;
    this.#lastBeat = this.#slots.table.heartbeat();
    this.#beatAt = performance.now();
    this.#isStill = false;
    this.#state = { kind: 'ready', worker, port: port1 };
    if (boot.allowHosts !== this.#allowHosts) this.allow(this.#allowHosts); // it changed while the handler was loaded
    this.#events.ready(this.#options.index);
    return booted;
  }

  #onReport(report: Report): void {
    if (report.log !== undefined) this.#events.log(report.log);
    this.#moves();
    const outcomes = report.outcomes ?? [];
    for (let i = 0; i < outcomes.length; i += OUTCOME_FIELDS) {
      const entry = this.#slots.close(outcomes[i] as number, outcomes[i + 1] as number);
      if (entry === undefined) continue;
      const outcome = outcomeOf(
        outcomes[i + 2] as number,
        outcomes[i + 3] as string | undefined,
        outcomes[i + 4] as number | undefined,
        outcomes[i + 5] as number | undefined,
        outcomes[i + 6] as string | undefined,
      );
      this.#events.outcome(entry, outcome as ThreadOutcome);
    }
    this.#events.turn();
  }

  /** The thread is gone: first take in all that it had posted, then judge the rest by the table. */
  #onExit(worker: Worker, port: MessagePort, code: number): void {
    const state = this.#state;
    if (state.kind === 'stopped') {
      port.close();
      return;
    }
    const held = (state.kind === 'ready' || state.kind === 'ending') && state.worker === worker;
    if (held) this.#state = { kind: 'down' };
    this.#drainPort(port);
    port.close();
    if (!held) return; // it died while it loaded the handler, with nothing in its hands, which is a failed boot
    this.#crashLoop.lost(performance.now());
    this.#restarts++;
    // The next may have come already, when this one threw: waited for all the same, it would be taken for missing and ended.
    if (this.#pool !== undefined && worker === this.#newest) this.#expectThread(this.#pool);
    this.#outbox.reset();
    this.#judge(this.#why ?? `the thread exited with code ${code}`);
  }

  #judge(why: string): void {
    const { ended, ...rest } = this.#slots.judge(why);
    this.#lead.reset();
    for (const [entry, outcome] of ended) this.#events.outcome(entry, outcome);
    this.#events.lost(this.#options.index, { why, ...rest });
    this.#events.turn();
  }
}
