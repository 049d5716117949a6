/** So many lanes are looked at in about a millisecond. */
export const PART = 2_000;

interface Sized<T> extends Iterable<T> {
  readonly size: number;
}

/**
 * Goes through a collection of any size a part at a time, so that nothing waits until it is through. What is added once a
 * round has begun is left for the next one, so that every round ends.
 */
export class Round<T> {
  readonly #all: Sized<T>;
  #place: Iterator<T> | undefined;
  #left = 0;
  #isWantedAnew = false;

  /** Its iterator must bear that members come and go, as those of a Map and a Set do. */
  constructor(all: Sized<T>) {
    this.#all = all;
  }

  get isOver(): boolean {
    return this.#place === undefined;
  }

  /** Starts at the first, unless a round is under way. */
  begin(): void {
    if (!this.isOver) return;
    this.#place = this.#all[Symbol.iterator]();
    this.#left = this.#all.size;
  }

  /** A whole round from now on: after the one that is under way, for whoever asks often must not keep that from its end. */
  beginAnew(): void {
    if (this.isOver) this.begin();
    else this.#isWantedAnew = true;
  }

  /** The next part; nothing when the round is over. */
  *part(): Generator<T, void, undefined> {
    for (let n = Math.min(PART, this.#left); n > 0 && this.#place !== undefined; n--) {
      this.#left--;
      const next = this.#place.next();
      if (next.done === true) this.#left = 0;
      else yield next.value;
    }
    if (this.#left > 0) return;
    this.#place = undefined;
    if (!this.#isWantedAnew) return;
    this.#isWantedAnew = false;
    this.begin();
  }
}
