import type { Lane, Waiting } from '../lane/lane.ts';

/** Of so many turns that both could have, lanes that catch up have one at most. */
const CATCHES_UP_EVERY = 4;

/**
 * Whose turn it is: deficit round robin (Shreedhar and Varghese, 1996) over the lanes that may start something, with every
 * order at cost 1 and the lane's weight as its quantum. Constant time a turn, whatever the number of lanes. When there is not
 * enough for all, lanes that catch up have their turns, but no more than every fourth: what merchants left behind while they
 * stood still must not, when they are back, delay the others' orders. A lane whose shard has no room, or none for lanes that
 * catch up, keeps its place.
 */
export class Scheduler<T extends Waiting> {
  readonly #onTime: Line<T>;
  readonly #behind: Line<T>;
  /** Turns that a lane that catches up could have had, since one had. */
  #turns = 0;
  #places = 0;

  /** @param hasRoom whether a shard can take another order now, and another of a lane that catches up */
  constructor(hasRoom: (shard: number, catchesUp: boolean) => boolean) {
    this.#onTime = new Line((shard) => hasRoom(shard, false));
    // One that has caught up while it stood here waits for nothing more.
    this.#behind = new Line((shard, { catchesUp }) => hasRoom(shard, catchesUp));
  }

  /** Puts a lane in line, unless it stands there already. */
  offer(lane: Lane<T>): void {
    if (lane.inRing) return;
    lane.inRing = true;
    this.#enqueue(lane);
  }

  /** The lanes in line. None may be offered meanwhile. */
  *[Symbol.iterator](): Generator<Lane<T>> {
    yield* this.#onTime;
    yield* this.#behind;
  }

  /**
   * The next lane that may start an order; `mayStart` is asked, and a lane that may not leaves the line until it is
   * offered again.
   */
  next(mayStart: (lane: Lane<T>) => boolean): Lane<T> | undefined {
    for (;;) {
      const onTime = this.#onTime.first();
      const behind = this.#behind.first();
      const ring = this.#isBehindDue(onTime, behind) ? behind : onTime;
      if (ring === undefined) return undefined;
      const lane = ring.head as Lane<T>;
      // Before it is asked: whoever may not start either stands behind those that have not had a turn.
      if (lane.credit <= 0) {
        ring.shift();
        this.#enqueue(lane);
      } else if (mayStart(lane)) {
        lane.credit--;
        if (ring === behind) this.#turns = 0;
        else if (behind !== undefined) this.#turns++;
        return lane;
      } else {
        ring.shift();
        lane.inRing = false;
      }
    }
  }

  /** Lanes that catch up and are few have no more turns than if all stood in one line. */
  #isBehindDue(onTime: Ring<T> | undefined, behind: Ring<T> | undefined): boolean {
    if (onTime === undefined || behind === undefined) return behind !== undefined;
    return this.#turns + 1 >= CATCHES_UP_EVERY && (behind.head as Lane<T>).place < (onTime.head as Lane<T>).place;
  }

  #enqueue(lane: Lane<T>): void {
    lane.credit = lane.merchant.weight;
    lane.place = ++this.#places;
    (lane.catchesUp ? this.#behind : this.#onTime).push(lane);
  }
}

/** Lanes in the order in which they came, those of each shard in a ring of their own. */
class Line<T extends Waiting> {
  readonly #hasRoom: (shard: number, head: Lane<T>) => boolean;
  readonly #rings: Ring<T>[] = [];

  /** @param hasRoom whether a shard can take an order of this lane, the first in its ring */
  constructor(hasRoom: (shard: number, head: Lane<T>) => boolean) {
    this.#hasRoom = hasRoom;
  }

  push(lane: Lane<T>): void {
    while (this.#rings.length <= lane.shard) this.#rings.push(new Ring());
    this.#rings[lane.shard]?.push(lane);
  }

  /** The ring whose head came first, of the shards that have room. */
  first(): Ring<T> | undefined {
    let first: Ring<T> | undefined;
    for (let shard = 0; shard < this.#rings.length; shard++) {
      const ring = this.#rings[shard] as Ring<T>;
      const { head } = ring;
      if (head === undefined || head.place > (first?.head?.place ?? head.place)) continue;
      if (this.#hasRoom(shard, head)) first = ring;
    }
    return first;
  }

  *[Symbol.iterator](): Generator<Lane<T>> {
    for (const ring of this.#rings) yield* ring;
  }
}

/** An array with a moving head, closed up when half of it is spent. */
class Ring<T extends Waiting> {
  readonly #lanes: Lane<T>[] = [];
  #head = 0;

  get head(): Lane<T> | undefined {
    return this.#lanes[this.#head];
  }

  push(lane: Lane<T>): void {
    this.#lanes.push(lane);
  }

  shift(): void {
    this.#head++;
    if (this.#head < 1024 || this.#head * 2 < this.#lanes.length) return;
    this.#lanes.splice(0, this.#head);
    this.#head = 0;
  }

  *[Symbol.iterator](): Generator<Lane<T>> {
    for (let place = this.#head; place < this.#lanes.length; place++) yield this.#lanes[place] as Lane<T>;
  }
}
