/** Failures in a row that open it. */
const FAILURES = 2;
const PROBES = 1;
const OPEN_MS = 5_000;
const OPEN_MAX_MS = 60_000;

/** What one call tells: `answered`, whatever the answer; `failed`, timed out or not sent; `neither` says nothing. */
export type Told = 'answered' | 'failed' | 'neither';

/**
 * Keeps calls from a merchant that does not answer (Nygard, "Release It!", 2007). Two failures in a row open it, for longer
 * each time; when the time is over, exactly one probe is sent, and what that comes to closes or opens it again. A call that
 * was started in an earlier state tells nothing about this one: each call carries the era in which it was started.
 */
export class CircuitBreaker {
  #state: 'closed' | 'open' | 'half-open' = 'closed';
  #era = 0;
  #failures = 0;
  #probes = 0;
  #openings = 0;
  #until = 0;

  get state(): 'closed' | 'open' | 'half-open' {
    return this.#state;
  }

  /** Whether a call may start; a call that does start must be told to `started`. */
  allows(now: number): boolean {
    if (this.#state === 'closed') return true;
    return this.#state === 'open' ? now >= this.#until : this.#probes < PROBES;
  }

  /** When a call may start again, as far as is known; the past or now when one may. */
  get opensAt(): number {
    return this.#state === 'closed' ? 0 : this.#until;
  }

  /** Returns the era that the call's end has to bring back. */
  started(): number {
    if (this.#state === 'open') {
      this.#state = 'half-open';
      this.#era++;
      this.#probes = 0;
    }
    if (this.#state === 'half-open') this.#probes++;
    return this.#era;
  }

  ended(era: number, told: Told, now: number): void {
    if (era !== this.#era) return;
    if (this.#state === 'half-open') this.#judge(told, now);
    else if (told === 'answered') this.#failures = 0;
    else if (told === 'failed' && ++this.#failures >= FAILURES) this.#open(now);
  }

  #judge(told: Told, now: number): void {
    if (told === 'failed') {
      this.#open(now);
    } else if (told === 'answered') {
      this.#state = 'closed';
      this.#era++;
      this.#failures = 0;
      this.#openings = 0;
    } else {
      this.#probes--; // another may go in its place
    }
  }

  #open(now: number): void {
    this.#state = 'open';
    this.#era++;
    this.#failures = 0;
    this.#until = now + Math.min(OPEN_MAX_MS, OPEN_MS * 2 ** Math.min(this.#openings++, 10));
  }
}
