import { EventEmitter } from 'node:events';
import { AsyncLocalStorage } from 'node:async_hooks';
import { Pace } from '../../../src/pace.ts';
import { type Boot, type Booted, ORDER_FIELDS, OUTCOME_FIELDS, type Report, type Task } from '../../../src/protocol.ts';
import type { Place } from '../../../src/shard/attempt.ts';
import { Runner, type RunnerParts } from '../../../src/shard/run-handler.ts';
import { SlotTable } from '../../../src/slot-table.ts';
import { handler } from './handler.ts';
import { stage } from './stage.ts';
import { type Actor, newActor } from './virtual-time.ts';

const SPAWN_MS = 30;
const POST_MS = 1;
const LONG_POST_MS = 30;
const BEAT_MS = 100;
/** How long a thread may go on when it was told to end: a native call cannot be interrupted. */
const LONG_END_MS = 1_500;

/** Whose order a piece of a handler works for, on whichever thread. */
const current = new AsyncLocalStorage<Place>();

interface Posted {
  readonly message: Report;
  readonly at: number;
}

/** node:worker_threads' MessagePort, the main thread's end. */
export class MainPort extends EventEmitter {
  readonly posted: Posted[] = [];
  readonly #process: Actor = stage().time.actor;

  /** What a thread posts is here some time later, or when somebody asks. */
  arrive(message: Report): void {
    const { time, dice } = stage();
    const posted: Posted = { message, at: time.now() };
    this.posted.push(posted);
    time.after(
      dice.delay(POST_MS, 2 * LONG_POST_MS, 0.2),
      () => {
        const at = this.posted.indexOf(posted);
        if (at < 0) return;
        // In order, whatever their delays were.
        for (const { message: each } of this.posted.splice(0, at + 1)) this.emit('message', each);
      },
      this.#process,
    );
  }

  /**
   * What was posted last is not to be had when the thread's end is known, and comes later. Harsher than Node, which has all
   * of it by then: the table's generations must hold against it.
   */
  delayLast(ms: number): void {
    for (const { message } of this.posted.splice(0)) {
      stage().tell?.('FAULT      what the thread posted last comes late');
      stage().time.after(ms, () => this.emit('message', message), this.#process);
    }
  }

  close(): void {}
}

export class MessageChannel {
  readonly port1: MainPort = new MainPort();
  readonly port2: { readonly main: MainPort; postMessage(message: Report): void } = {
    main: this.port1,
    postMessage: (message) => this.port1.arrive(message),
  };
}

export function receiveMessageOnPort(port: MainPort): { readonly message: Report } | undefined {
  return port.posted.shift();
}

/** What an order on a thread has come to: moments at which its loss must be judged differently. */
export const MOMENTS = ['handed', 'sending', 'posted'] as const;
export type Moment = (typeof MOMENTS)[number];

/** A worker thread: the product's own Runner with a slot table, in the name of an actor that can stall and die. */
export class SimulatedThread extends EventEmitter {
  readonly actor: Actor;
  readonly performance: object = { eventLoopUtilization: () => ({ utilization: 0, idle: 0, active: 0 }) };
  readonly #process: Actor = stage().time.actor;
  readonly #tasks = new Set<(error: Error) => void>();
  #table: SlotTable | undefined;
  #port: MainPort | undefined;
  #runner: Runner | undefined;
  #diesAt: Moment | undefined;
  /** By slot. */
  readonly #working = new Map<number, Place>();
  #last = 0;

  constructor(name: string) {
    super();
    this.actor = newActor(name);
  }

  get isAlive(): boolean {
    return this.actor.alive;
  }

  /** The place of an order whose handler is at work, if there is one. */
  get busy(): Place | undefined {
    return this.#working.size === 0 ? undefined : stage().dice.one([...this.#working.values()]);
  }

  run(task: Task): Promise<Booted | undefined> {
    const { time, dice } = stage();
    const at = Math.max(this.#last, time.now() + dice.delay(POST_MS, LONG_POST_MS));
    this.#last = at;
    if (task.kind === 'batch') this.reached('handed');
    return new Promise((resolve, reject) => {
      this.#tasks.add(reject);
      time.at(
        at,
        () => {
          const answer = this.#take(task);
          time.after(
            dice.delay(POST_MS, LONG_POST_MS),
            () => {
              this.#tasks.delete(reject);
              resolve(answer);
            },
            this.#process,
          );
        },
        this.actor,
      );
    });
  }

  terminate(): Promise<number> {
    const { time, dice } = stage();
    time.after(dice.delay(3, LONG_END_MS), () => this.die('told to end'), time.outside);
    return Promise.resolve(1);
  }

  /** Stands still: neither timers nor answers nor new orders run. */
  stall(ms: number): void {
    const { time } = stage();
    this.actor.stalledUntil = Math.max(this.actor.stalledUntil, time.now() + ms);
  }

  rejectAll(error: Error): void {
    for (const reject of this.#tasks) reject(error);
    this.#tasks.clear();
  }

  /** It will die when an order next comes to that moment. */
  dieWhen(moment: Moment): void {
    this.#diesAt = moment;
  }

  reached(moment: Moment): void {
    const { time, dice } = stage();
    if (this.#diesAt !== moment) return;
    this.#diesAt = undefined;
    time.after(dice.between(0, POST_MS / 4), () => this.die(`with an order ${moment}`), time.outside);
  }

  /** Ends at once. With a `culprit` its last words name the order whose handler did it. */
  die(why: string, culprit?: Place): void {
    const { time, dice, tell } = stage();
    if (!this.actor.alive) return;
    if (culprit !== undefined) this.#table?.running(culprit.slot, culprit.generation);
    tell?.(`${this.actor.name} dies: ${why}`);
    this.actor.alive = false;
    if (dice.chance(0.7)) this.#port?.delayLast(dice.between(20, 500));
    const told = (): void => {
      const error = new Error(why);
      this.emit('error', error);
      this.emit('lost');
      this.rejectAll(error);
    };
    const exitMs = dice.delay(5, 50);
    time.after(dice.between(0, exitMs), told, this.#process);
    time.after(exitMs, () => this.emit('exit', 1), this.#process);
  }

  #take(task: Task): Booted | undefined {
    if (task.kind === 'boot') return this.#boot(task);
    if (task.kind === 'batch') {
      for (let at = 0; at < task.orders.length; at += ORDER_FIELDS) {
        const place = { slot: task.orders[at] as number, generation: task.orders[at + 1] as number };
        this.#working.set(place.slot, place);
      }
      this.#runner?.accept(task);
    }
    return undefined;
  }

  #boot({ table: buffer, slots, port }: Boot): Booted {
    const { time, process } = stage();
    const table = new SlotTable(slots, buffer);
    const outcomes: unknown[] = [];
    let isAwaited = false;
    const post = (): void => {
      if (outcomes.length === 0 && !isAwaited) return;
      isAwaited = false;
      port.postMessage({ outcomes: outcomes.splice(0) });
      this.reached('posted');
    };
    const pace = new Pace(post);
    this.#table = table;
    this.#port = (port as unknown as { readonly main: MainPort }).main;
    const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
    this.#runner = new Runner({
      handler: process.hasHandler ? handler(this, this.#process) : undefined,
      http: { thread: this, process: this.#process } as never,
      table,
      current,
      told: { sharedKey: false },
      logger: { ...logger, child: () => logger },
      report: (...outcome) => {
        outcomes.push(...outcome);
        this.#working.delete(outcome[0] as number);
        if (outcomes.length >= 4 * OUTCOME_FIELDS) post();
        else pace.schedule();
      },
      wake: () => {
        isAwaited = true;
        pace.schedule();
      },
    } satisfies RunnerParts);
    time.every(BEAT_MS, () => table.beat());
    return { ok: true, confirms: process.hasHandler };
  }
}

function ignore(): void {}

/**
 * Piscina with one thread, as the product uses it: it replaces a thread that was lost, and rejects what that had open. A task for
 * a pool that was destroyed starts a thread again.
 */
export class Piscina extends EventEmitter {
  threads: SimulatedThread[] = [];
  #isEnding = false;
  #isSpawning = false;
  #threadsMade = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #process: Actor = stage().time.actor;
  readonly #index: number = stage().process.pools.push(this) - 1;

  constructor() {
    super();
    this.#spawn();
  }

  run(task: Task): Promise<Booted | undefined> {
    const [thread] = this.threads;
    if (thread !== undefined) return thread.run(task);
    if (this.#isEnding) return Promise.reject(new Error('The task has been aborted'));
    if (!this.#isSpawning) this.#spawn();
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => void this.run(task).then(resolve, reject));
    });
  }

  destroy(): Promise<void> {
    const [thread] = this.threads;
    this.#isEnding = true;
    if (thread === undefined) {
      this.#isEnding = this.#isSpawning;
      return Promise.resolve();
    }
    this.threads = [];
    thread.rejectAll(new Error('Terminating worker thread'));
    return new Promise((resolve) => {
      thread.once('exit', () => {
        this.#isEnding = false;
        resolve();
      });
      void thread.terminate();
    });
  }

  #spawn(): void {
    const { time, dice } = stage();
    this.#isSpawning = true;
    time.after(
      dice.delay(SPAWN_MS, 500),
      () => {
        this.#isSpawning = false;
        if (this.#isEnding) return;
        const thread = new SimulatedThread(`${this.#process.name}.${this.#index}.${++this.#threadsMade}`);
        this.threads = [thread];
        stage().process.threadsMade.push(thread);
        thread.on('error', (error: Error) => this.emit('error', error));
        thread.once('lost', () => {
          if (this.threads[0] !== thread) return;
          this.threads = [];
          this.#spawn();
        });
        this.emit('workerCreate', thread);
        for (const run of this.#waiting.splice(0)) run();
      },
      this.#process,
    );
  }
}
