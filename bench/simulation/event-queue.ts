import type { Clock } from '../../src/clock.ts';

interface Event {
  readonly at: number;
  readonly nth: number;
  readonly run: () => void;
}

/** Virtual time: a binary heap of what is to happen, and a clock that shows when it does. */
export class EventQueue implements Clock {
  #now = 0;
  #made = 0;
  readonly #heap: Event[] = [];

  now(): number {
    return this.#now;
  }

  wall(): number {
    return EPOCH + this.#now;
  }

  after(ms: number, run: () => void): void {
    this.at(this.#now + ms, run);
  }

  at(time: number, run: () => void): void {
    this.#push({ at: time, nth: ++this.#made, run });
  }

  every(ms: number, until: number, run: () => void): void {
    const again = (): void => {
      run();
      if (this.#now + ms <= until) this.after(ms, again);
    };
    this.after(ms, again);
  }

  /** Lets time pass until nothing is left to happen, or until then. */
  runUntil(end: number): void {
    for (let first = this.#heap[0]; first !== undefined && first.at <= end; first = this.#heap[0]) this.next();
    this.#now = end;
  }

  /** Lets the next thing happen; false when there is none. */
  next(): boolean {
    const first = this.#heap[0];
    if (first === undefined) return false;
    this.#pop();
    this.#now = first.at;
    first.run();
    return true;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent] as Event;
      if (before(above, event)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (before(last, heap[child] as Event)) break;
      heap[place] = heap[child] as Event;
      place = child;
    }
    heap[place] = last;
  }
}

const EPOCH = Date.UTC(2026, 0, 1);

/** Of two events at one time, the one that was made first comes first: a run can be repeated exactly. */
function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.nth < b.nth);
}
