import { systemClock } from '../clock.ts';

/** What has a time limit. It is kept in a list through itself: tens of thousands may wait at once. */
export interface Limited {
  /** On the clock's monotonic scale, in milliseconds. */
  readonly endsAt: number;
  timeIsOver(): void;
  /** Of the list; absent when it is in none. */
  tick: Tick | undefined;
  before: Limited | undefined;
  after: Limited | undefined;
}

/** Those whose time is over at once. */
interface Tick {
  readonly at: number;
  readonly timer: NodeJS.Timeout;
  first: Limited | undefined;
}

/** A limit may be over so much late. */
const TICK_MS = 10;

/**
 * The time limits of all that is under way on a thread. Those that are over within 10 ms of each other share a timer: one of
 * Node's for each is 200 bytes more to keep and to copy (hashed timing wheels: Varghese and Lauck, "Hashed and Hierarchical
 * Timing Wheels", SOSP 1987).
 */
export class TimeLimits {
  readonly #ticks = new Map<number, Tick>();

  add(limited: Limited): void {
    const at = Math.ceil(limited.endsAt / TICK_MS);
    const tick = this.#ticks.get(at) ?? this.#begin(at);
    const { first } = tick;
    limited.tick = tick;
    limited.after = first;
    if (first !== undefined) first.before = limited;
    tick.first = limited;
  }

  /** Its time limit is no more; nothing is done when it has none. */
  remove(limited: Limited): void {
    const { tick, before, after } = limited;
    if (tick === undefined) return;
    if (before === undefined) tick.first = after;
    else before.after = after;
    if (after !== undefined) after.before = before;
    limited.tick = undefined;
    limited.before = undefined;
    limited.after = undefined;
    if (tick.first === undefined) this.#end(tick);
  }

  #begin(at: number): Tick {
    const timer = setTimeout(() => this.#over(tick), at * TICK_MS - systemClock.now());
    const tick: Tick = { at, timer, first: undefined };
    this.#ticks.set(at, tick);
    return tick;
  }

  #over(tick: Tick): void {
    for (let first = tick.first; first !== undefined; first = tick.first) {
      this.remove(first);
      first.timeIsOver();
    }
  }

  #end({ at, timer }: Tick): void {
    clearTimeout(timer);
    this.#ticks.delete(at);
  }
}
