import { CatchUpPace } from '../../src/dispatcher/catch-up-pace.ts';
import type { EventQueue } from './event-queue.ts';

/** What a thread begins in so much time may be on its way to it. */
const AHEAD_MS = 50;
const LEAST_AHEAD = 8;

/** The time of one thread: it begins one order after the other, each in the same time. */
export class SimulatedThread {
  readonly #time: EventQueue;
  readonly #turn: () => void;
  readonly #costMs: number;
  readonly #ahead: number;
  readonly #pace: CatchUpPace = new CatchUpPace();
  /** When it has begun all that it was handed. */
  #freeAt = 0;
  #handed = 0;
  #begun = 0;
  #begunThen = 0;
  #busyThen = 0;
  #lookedAt = 0;
  #wasFull = false;

  /**
   * @param perSecond how many orders it can begin; when it is infinite, it is busy with nothing and has room for all
   * @param turn called when there is room again
   */
  constructor(time: EventQueue, perSecond: number, turn: () => void) {
    this.#time = time;
    this.#costMs = 1000 / perSecond;
    this.#ahead = Math.max(LEAST_AHEAD, (perSecond * AHEAD_MS) / 1000);
    this.#turn = turn;
  }

  hasRoom(catchesUp: boolean): boolean {
    if (this.#costMs === 0) return true;
    const isFull = this.#handed - this.#begun >= this.#ahead;
    this.#wasFull ||= isFull;
    return !isFull && (!catchesUp || this.#pace.hasRoom);
  }

  hand(catchesUp: boolean, begin: () => void): void {
    const now = this.#time.now();
    if (catchesUp) this.#pace.handed();
    this.#handed++;
    this.#freeAt = Math.max(now, this.#freeAt) + this.#costMs;
    this.#time.after(this.#freeAt - now, () => {
      this.#begun++;
      begin();
      if (!this.#wasFull) return;
      this.#wasFull = false;
      this.#turn();
    });
  }

  /** To be called ten times a second. */
  look(): void {
    const now = this.#time.now();
    const busy = this.#handed * this.#costMs - Math.max(0, this.#freeAt - now);
    const use = now > this.#lookedAt ? (busy - this.#busyThen) / (now - this.#lookedAt) : 0;
    this.#pace.look(this.#begun - this.#begunThen, use);
    this.#busyThen = busy;
    this.#begunThen = this.#begun;
    this.#lookedAt = now;
  }
}
