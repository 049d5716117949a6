import type { Lane, Waiting } from '../lane/lane.ts';

/**
 * Whose turn it is: deficit round robin (Shreedhar and Varghese, 1996) over the lanes that may start something, with
 * every order at cost 1 and the lane's weight as its quantum. Constant time a turn, whatever the number of lanes.
 */
export class Scheduler<T extends Waiting> {
  readonly #ring: Lane<T>[] = [];
  #head = 0;

  /** Puts a lane in line, unless it stands there already. */
  offer(lane: Lane<T>): void {
    if (lane.inRing) return;
    lane.inRing = true;
    lane.credit = lane.merchant.weight;
    this.#ring.push(lane);
  }

  /** The lanes in line. None may be offered meanwhile. */
  *[Symbol.iterator](): Generator<Lane<T>> {
    for (let place = this.#head; place < this.#ring.length; place++) yield this.#ring[place] as Lane<T>;
  }

  /**
   * The next lane that may start an order; `mayStart` is asked, and a lane that may not leaves the ring until it is
   * offered again.
   */
  next(mayStart: (lane: Lane<T>) => boolean): Lane<T> | undefined {
    const ring = this.#ring;
    while (this.#head < ring.length) {
      const lane = ring[this.#head] as Lane<T>;
      // Before it is asked: whoever may not start either stands behind those that have not had a turn.
      if (lane.credit <= 0) {
        this.#advance();
        lane.credit = lane.merchant.weight;
        ring.push(lane);
      } else if (mayStart(lane)) {
        lane.credit--;
        return lane;
      } else {
        this.#advance();
        lane.inRing = false;
      }
    }
    return undefined;
  }

  /** The ring is an array with a moving head, closed up when half of it is spent. */
  #advance(): void {
    this.#head++;
    if (this.#head < 1024 || this.#head * 2 < this.#ring.length) return;
    this.#ring.splice(0, this.#head);
    this.#head = 0;
  }
}
