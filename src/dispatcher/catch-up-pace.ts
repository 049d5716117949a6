/** A thread that is busy for more of the time keeps waiting whoever comes next. */
const BUSY = 0.8;
/** Of what a thread begins: so much may always be of those that catch up. */
const SHARE = 1 / 4;
/** In orders from look to look. */
const LEAST = 16;
const UP = 5 / 4;
const DOWN = 3 / 4;

/**
 * How many orders a shard is handed of merchants that catch up: as many as leave its thread time to spare. What the thread is
 * short of may be its own time, or the machine's: either way its event loop is then busy, and the others' calls wait for it.
 * Found by trying more and taking back, as congestion control does, and begun anew at a fourth each time that merchants come back.
 */
export class CatchUpPace {
  #pace = LEAST;
  #handed = 0;

  /** Whether another order may be handed over before the next look. */
  get hasRoom(): boolean {
    return this.#handed < this.#pace;
  }

  /** An order of a merchant that catches up is handed over. */
  handed(): void {
    this.#handed++;
  }

  /**
   * To be called several times a second.
   * @param begun what the thread has begun since the last look, of anybody
   * @param use share of the time since then that its event loop was busy, 0 to 1
   */
  look(begun: number, use: number): void {
    const isWanted = !this.hasRoom;
    const next = Math.round(this.#pace * (isWanted && use <= BUSY ? UP : DOWN));
    this.#pace = Math.max(LEAST, Math.ceil(begun * SHARE), next);
    this.#handed = 0;
  }
}
