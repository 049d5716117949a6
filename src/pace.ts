const SPACING_MS = 2;

/**
 * When what has gathered is to leave: at the end of this turn of the event loop when it has been quiet, else two
 * milliseconds after that. A message between threads, or a write to a socket, costs about as much as everything else that
 * is done for an order; under load this shares it among many, and alone an order does not wait.
 */
export class Pace {
  readonly #leave: () => void;
  #lastAt = 0;
  #scheduled = false;

  constructor(leave: () => void) {
    this.#leave = leave;
  }

  /** Something has gathered. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (performance.now() - this.#lastAt > SPACING_MS) setImmediate(this.#due);
    else setTimeout(this.#due, SPACING_MS);
  }

  readonly #due = (): void => {
    this.#scheduled = false;
    this.#lastAt = performance.now();
    this.#leave();
  };
}
