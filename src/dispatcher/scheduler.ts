import type { Lane, Waiting } from '../lane/lane.ts';

/** A lane is late when its next order had waited for so long when it came into line. */
const LATE_MS = 1_000;
/** Of so many turns that both could have, late lanes have one at most. */
const LATE_EVERY = 4;

/**
 * Whose turn it is: deficit round robin (Shreedhar and Varghese, 1996) over the lanes that may start something, with every
 * order at cost 1 and the lane's weight as its quantum. Constant time a turn, whatever the number of lanes. When there is not
 * enough for all, late lanes have their turns, but no more than every fourth: what merchants left behind while they stood
 * still must not, when they are back, delay orders that have just come. A lane whose shard has no room keeps its place.
 */
export class Scheduler<T extends Waiting> {
  readonly #onTime: Line<T>;
  readonly #late: Line<T>;
  /** Turns that a late lane could have had, since one had. */
  #turns = 0;
  #places = 0;

  /** @param hasRoom whether a shard can take another order now */
  constructor(hasRoom: (shard: number) => boolean) {
    this.#onTime = new Line(hasRoom);
    this.#late = new Line(hasRoom);
  }

  /** Puts a lane in line, unless it stands there already. */
  offer(lane: Lane<T>, now: number): void {
    if (lane.inRing) return;
    lane.inRing = true;
    this.#enqueue(lane, now);
  }

  /** The lanes in line. None may be offered meanwhile. */
  *[Symbol.iterator](): Generator<Lane<T>> {
    yield* this.#onTime;
    yield* this.#late;
  }

  /**
   * The next lane that may start an order; `mayStart` is asked, and a lane that may not leaves the line until it is
   * offered again.
   */
  next(mayStart: (lane: Lane<T>) => boolean, now: number): Lane<T> | undefined {
    for (;;) {
      const [onTime, late] = [this.#onTime.first(), this.#late.first()];
      const ring = this.#isLateDue(onTime, late) ? late : onTime;
      if (ring === undefined) return undefined;
      const lane = ring.head as Lane<T>;
      // Before it is asked: whoever may not start either stands behind those that have not had a turn.
      if (lane.credit <= 0) {
        ring.shift();
        this.#enqueue(lane, now);
      } else if (mayStart(lane)) {
        lane.credit--;
        if (ring === late) this.#turns = 0;
        else if (late !== undefined) this.#turns++;
        return lane;
      } else {
        ring.shift();
        lane.inRing = false;
      }
    }
  }

  /** Late lanes that are few have no more turns than if all stood in one line. */
  #isLateDue(onTime: Ring<T> | undefined, late: Ring<T> | undefined): boolean {
    if (onTime === undefined || late === undefined) return late !== undefined;
    return this.#turns + 1 >= LATE_EVERY && (late.head as Lane<T>).place < (onTime.head as Lane<T>).place;
  }

  #enqueue(lane: Lane<T>, now: number): void {
    lane.credit = lane.merchant.weight;
    lane.place = ++this.#places;
    const isLate = now - (lane.head?.arrivedAt ?? now) > LATE_MS;
    (isLate ? this.#late : this.#onTime).push(lane);
  }
}

/** Lanes in the order in which they came, those of each shard in a ring of their own. */
class Line<T extends Waiting> {
  readonly #hasRoom: (shard: number) => boolean;
  readonly #rings: Ring<T>[] = [];

  constructor(hasRoom: (shard: number) => boolean) {
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
      if (this.#hasRoom(shard)) first = ring;
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
