const LEAST_MS = 1_000;
/** So many times what a call takes is counted, because answers may come in batches. */
const ROUNDS = 2;
/** Lanes are looked at ten times a second: with nothing in flight for longer, there was nothing to do. */
const IDLE_MS = 100;

/** How many answers a merchant gives in a time, counted while it has calls in flight. */
export class AnswerPace {
  /** Mean time between answers, in milliseconds; 0 before it is known. */
  gapMs = 0;
  /** The least smoothed latency, in milliseconds; 0 before the first answer. */
  leastMs = 0;
  #from: number;
  #answers = 0;
  #answeredAt = 0;

  constructor(now: number) {
    this.#from = now;
  }

  /** A call starts beside so many others. */
  started(inFlight: number, now: number): void {
    if (inFlight === 0 && now - this.#answeredAt > IDLE_MS) this.#begin(now);
  }

  answered(latencyMs: number, now: number): void {
    this.#answers++;
    this.#answeredAt = now;
    if (this.leastMs === 0 || latencyMs < this.leastMs) this.leastMs = latencyMs;
    const ms = now - this.#from;
    if (ms < Math.max(LEAST_MS, ROUNDS * latencyMs)) return;
    this.gapMs = ms / this.#answers;
    this.#begin(now);
  }

  /** What was counted says nothing any more. */
  restart(): void {
    this.gapMs = 0;
    this.leastMs = 0;
    this.#answeredAt = 0;
  }

  #begin(now: number): void {
    this.#from = now;
    this.#answers = 0;
  }
}
