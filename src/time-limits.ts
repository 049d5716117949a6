import { systemClock } from './clock.ts';

/** A limit may be over so much late, and two milliseconds for Node's timer; never too soon. */
const TICK_MS = 10;
/** Of Node's timers; what is longer, 25 days, ends then. */
const LONGEST_MS = 2 ** 31 - 1;

/** Those whose time is over at once. */
interface Tick {
  readonly limits: TimeLimits;
  readonly at: number;
  readonly timer: NodeJS.Timeout;
  first: Limited | undefined;
}

/**
 * What has a time limit. It is kept in a list through itself, because tens of thousands may wait at once, and in private, because
 * its neighbours there are no business of whoever is handed one of them.
 */
export abstract class Limited {
  readonly #endsAt: number;
  #tick: Tick | undefined;
  #before: Limited | undefined;
  #after: Limited | undefined;

  /** @param endsAt on the clock's monotonic scale */
  constructor(endsAt: number) {
    this.#endsAt = endsAt;
  }

  get endsAt(): number {
    return this.#endsAt;
  }

  abstract timeIsOver(): void;

  /** Its limit holds from here on. */
  limitBy(limits: TimeLimits): void {
    const tick = limits.tickOf(this.#endsAt);
    const { first } = tick;
    this.#tick = tick;
    this.#after = first;
    if (first !== undefined) first.#before = this;
    tick.first = this;
  }

  /** It has no limit any more; nothing is done when it has none. */
  endLimit(): void {
    const tick = this.#tick;
    if (tick === undefined) return;
    const [before, after] = [this.#before, this.#after];
    if (before === undefined) tick.first = after;
    else before.#after = after;
    if (after !== undefined) after.#before = before;
    if (tick.first === undefined) tick.limits.end(tick);
    this.#tick = undefined;
    this.#before = undefined;
    this.#after = undefined;
  }
}

/**
 * The time limits of all that is under way on a thread. Those that are over within 10 ms of each other share a timer: one of
 * Node's for each is 200 bytes more to keep and to copy (hashed timing wheels: Varghese and Lauck, "Hashed and Hierarchical
 * Timing Wheels", SOSP 1987).
 */
export class TimeLimits {
  readonly #ticks = new Map<number, Tick>();

  /** Those whose time is over when this one's is. */
  tickOf(endsAt: number): Tick {
    const at = Math.ceil(endsAt / TICK_MS);
    const known = this.#ticks.get(at);
    if (known !== undefined) return known;
    // Node drops what is less than a millisecond, of the delay and of the time it counts from: a limit could be over two too soon.
    const delayMs = Math.ceil(at * TICK_MS - systemClock.now()) + 1;
    const timer = setTimeout(() => over(tick), Math.min(LONGEST_MS, delayMs));
    const tick: Tick = { limits: this, at, timer, first: undefined };
    this.#ticks.set(at, tick);
    return tick;
  }

  end({ at, timer }: Tick): void {
    clearTimeout(timer);
    this.#ticks.delete(at);
  }
}

function over(tick: Tick): void {
  for (let { first } = tick; first !== undefined; { first } = tick) {
    first.endLimit();
    first.timeIsOver();
  }
}
