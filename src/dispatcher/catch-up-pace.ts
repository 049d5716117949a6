/** A thread that is busy for more of the time keeps waiting whoever comes next. */
const BUSY = 0.8;
/** Of what a thread begins: so much may always be of those that catch up. */
const SHARE = 1 / 16;
/** Having waited for so many looks, two minutes, they may have all of it: then this is not a recovery, but their load. By the square of that, because most recoveries are over in one. */
const LOOKS_TO_ALL = 1200;
/** Others that are fewer than this part of those that catch up are not worth their waiting. */
const FEW = 1 / 8;
/** In orders from look to look. */
const LEAST = 16;
/** Times what the thread begins. */
const MOST = 2;
/** Gently: the use is known half a second late, and what is handed over too much by then, all others wait for. */
const UP = 17 / 16;
const DOWN = 8 / 9;
/** One look says little, and a mean that is renewed once a second would be acted on ten times: so much of what is believed of the use is what it was since the last look. */
const NOW = 1 / 5;

/**
 * How many orders a shard is handed of merchants that catch up: as many as leave its thread time to spare. Found by trying
 * more and taking back, as congestion control does, and begun anew at a sixteenth each time that merchants come back. On a machine
 * that has too little time for all its processes a thread has none to spare, either.
 */
export class CatchUpPace {
  #pace = LEAST;
  #handed = 0;
  #use = 0;
  /** Looks at which there had been too little room. */
  #waited = 0;

  /** Whether another order may be handed over before the next look. */
  get hasRoom(): boolean {
    return this.#handed < this.#pace;
  }

  /** An order of a merchant that catches up is handed over. */
  handed(): void {
    this.#handed++;
  }

  /**
   * To be called ten times a second.
   * @param begun what the thread has begun since the last look, of anybody
   * @param use share of the time since then that its event loop was busy, 0 to 1
   */
  look(begun: number, use: number): void {
    const isWanted = !this.hasRoom;
    const others = begun - this.#handed;
    this.#use += NOW * (use - this.#use);
    const mayTry = this.#use <= BUSY || others < this.#handed * FEW;
    const next = Math.round(this.#pace * (isWanted && mayTry ? UP : DOWN));
    this.#waited = isWanted ? Math.min(LOOKS_TO_ALL, this.#waited + 1) : Math.floor(this.#waited / 2);
    const share = SHARE + (1 - SHARE) * (this.#waited / LOOKS_TO_ALL) ** 2;
    this.#pace = Math.max(LEAST, Math.ceil(begun * share), Math.min(next, begun * MOST));
    this.#handed = 0;
  }
}
