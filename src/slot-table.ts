/**
 * One word of shared memory per order in a shard's hands: `generation << 8 | state`. It survives the thread, so that what
 * became of each order can be judged when the thread is gone. A thread writes only with the generation it was handed, so
 * a late write or message cannot touch a slot that was used again.
 */
const HEARTBEAT = 0;
const RUNNING = 1;
const BEGUN = 2;
const AWAITED = 3;
const HEADER = 4;
const STATE_BITS = 8;
const STATE_MASK = (1 << STATE_BITS) - 1;
const GENERATION_MASK = (1 << (31 - STATE_BITS)) - 1;

/** No slot's handler is on the thread's stack. */
export const NONE = -1;

export class SlotTable {
  readonly buffer: SharedArrayBuffer;
  readonly size: number;
  readonly #words: Int32Array;

  constructor(size: number, buffer: SharedArrayBuffer = new SharedArrayBuffer((HEADER + size) * 4)) {
    this.size = size;
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /** Writes a state; returns false, and writes nothing, when the slot is another generation's by now. */
  mark(slot: number, generation: number, state: number): boolean {
    const at = HEADER + slot;
    const before = Atomics.load(this.#words, at);
    if (before >> STATE_BITS !== generation) return false;
    return Atomics.compareExchange(this.#words, at, before, (generation << STATE_BITS) | state) === before;
  }

  state(slot: number): number {
    return Atomics.load(this.#words, HEADER + slot) & STATE_MASK;
  }

  /** Starts a new life of a slot and returns its generation. Main thread only. */
  open(slot: number, state: number): number {
    const at = HEADER + slot;
    const generation = ((Atomics.load(this.#words, at) >> STATE_BITS) + 1) & GENERATION_MASK;
    Atomics.store(this.#words, at, (generation << STATE_BITS) | state);
    return generation;
  }

  /** Counts one turn of the thread's event loop. */
  beat(): void {
    Atomics.add(this.#words, HEARTBEAT, 1);
  }

  heartbeat(): number {
    return Atomics.load(this.#words, HEARTBEAT);
  }

  /** The thread has begun so many orders more. Returns whether the main thread waits to hear of it. */
  begin(orders: number): boolean {
    Atomics.add(this.#words, BEGUN, orders);
    return Atomics.load(this.#words, AWAITED) !== 0 && Atomics.exchange(this.#words, AWAITED, 0) !== 0;
  }

  /** How many orders threads have begun, counted around at 32 bits. */
  begun(): number {
    return Atomics.load(this.#words, BEGUN);
  }

  /** The thread is to tell when it has begun more. What it begins meanwhile it may not tell: look again afterwards. */
  awaitBegun(): void {
    Atomics.store(this.#words, AWAITED, 1);
  }

  /**
   * Names the slot whose handler is at work, so that a thread lost in it names its cause; NONE for nobody's. Names nobody
   * when the slot is another generation's by now: its order is over, and a stray callback of it says nothing of the next.
   */
  running(slot: number, generation: number): void {
    if (slot !== NONE && Atomics.load(this.#words, HEADER + slot) >> STATE_BITS !== generation) return;
    this.#words[RUNNING] = slot + 1; // shared memory starts as zeros: 0 is nobody
  }

  lastRunning(): number {
    return Atomics.load(this.#words, RUNNING) - 1;
  }
}
