import { AsyncLocalStorage } from 'node:async_hooks';
import { EventQueue } from '../event-queue.ts';

/** Whoever events belong to: a process, a thread, or everything outside. The dead do nothing, the stalled do it later. */
export interface Actor {
  readonly name: string;
  alive: boolean;
  stalledUntil: number;
  /** What was to happen while it stood still. */
  readonly held: Planned[];
}

interface Planned {
  readonly run: () => void;
  readonly actor: Actor;
  readonly timer: Timer;
  /** A periodic timer's. */
  readonly quiet: boolean;
}

export function newActor(name: string): Actor {
  return { name, alive: true, stalledUntil: 0, held: [] };
}

export interface Timer {
  cancelled: boolean;
  unref(): Timer;
  ref(): Timer;
}

/** How many turns of the microtask queue are taken between two events: enough for what one event leads to at once. */
const MICROTASKS = 24;

const SETTLED = Promise.resolve();

/** One for all worlds: each more that was ever made would cost every event of every world. */
const acting = new AsyncLocalStorage<Actor>();

/**
 * Virtual time, and the globals that tell and keep it: while it is installed, product code that calls setTimeout,
 * setImmediate, performance.now, Date.now or Math.random gets this one's. Each event runs in the name of the actor that made
 * it, and so does what awaits it: the timers of a process that was killed, or of a thread that stands still, do not run.
 */
export class VirtualTime {
  readonly outside: Actor = newActor('outside');
  /** Whether the event that ran last was more than a periodic timer's. */
  wasStep = false;
  readonly #queue = new EventQueue();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** In whose name the running piece of code runs. */
  get actor(): Actor {
    return acting.getStore() ?? this.outside;
  }

  now(): number {
    return this.#queue.now();
  }

  after(ms: number, run: () => void, actor: Actor = this.actor, quiet = false): Timer {
    return this.at(this.now() + ms, run, actor, quiet);
  }

  at(when: number, run: () => void, actor: Actor = this.actor, quiet = false): Timer {
    const timer = newTimer();
    this.#schedule(when, { run, actor, timer, quiet });
    return timer;
  }

  every(ms: number, run: () => void, actor: Actor = this.actor): Timer {
    const timer = newTimer();
    const again = (): void => {
      run();
      this.#schedule(this.now() + ms, { run: again, actor, timer, quiet: true });
    };
    this.#schedule(this.now() + ms, { run: again, actor, timer, quiet: true });
    return timer;
  }

  /** The next event and what its promises lead to; false when nothing is left to happen. */
  async next(): Promise<boolean> {
    this.wasStep = false;
    if (!this.#queue.next()) return false;
    for (let hop = MICROTASKS; hop > 0; hop--) await SETTLED;
    return true;
  }

  /** Puts this in place of the globals; what comes back puts them back. */
  install(): () => void {
    const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = globalThis;
    const saved = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate };
    const { now: dateNow } = Date;
    const { random } = Math;
    const cancel = (timer: Timer | undefined): void => {
      if (timer !== undefined) timer.cancelled = true;
    };
    Object.assign(globalThis, {
      setTimeout: (run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]) =>
        this.after(Math.max(1, ms), () => run(...args)),
      setInterval: (run: () => void, ms: number) => this.every(ms, run),
      setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) => this.after(0, () => run(...args)),
      clearTimeout: cancel,
      clearInterval: cancel,
      clearImmediate: cancel,
    });
    Date.now = () => Math.floor(this.#queue.wall());
    Math.random = this.#random;
    Object.defineProperty(performance, 'now', { value: () => this.now(), configurable: true });
    return () => {
      Object.assign(globalThis, saved);
      Date.now = dateNow;
      Math.random = random;
      Reflect.deleteProperty(performance, 'now');
    };
  }

  #schedule(when: number, planned: Planned): void {
    this.#queue.at(when, () => {
      const { actor, timer } = planned;
      if (timer.cancelled || !actor.alive) return;
      if (actor.stalledUntil <= this.now() && actor.held.length === 0) {
        this.#run(planned);
        return;
      }
      // What comes while it stands still runs afterwards, in the order in which it came.
      actor.held.push(planned);
      if (actor.held.length === 1) this.#queue.at(actor.stalledUntil, () => this.#wake(actor));
    });
  }

  #wake(actor: Actor): void {
    if (!actor.alive || actor.held.length === 0) return;
    if (actor.stalledUntil > this.now()) {
      this.#queue.at(actor.stalledUntil, () => this.#wake(actor));
      return;
    }
    const planned = actor.held.shift() as Planned;
    if (actor.held.length > 0) this.#queue.at(this.now(), () => this.#wake(actor));
    if (!planned.timer.cancelled) this.#run(planned);
  }

  #run({ run, actor, quiet }: Planned): void {
    this.wasStep = !quiet;
    acting.run(actor, run);
  }
}

function newTimer(): Timer {
  const timer: Timer = { cancelled: false, unref: () => timer, ref: () => timer };
  return timer;
}
