/** Failures in a row that open it. */
const FAILURES = 2;
const PROBES = 1;
const OPEN_MS = 5_000;
const OPEN_MAX_MS = 60_000;
/** Calls that fail within this time fail of one event, such as a connection that they shared. */
const ONE_EVENT_MS = 100;
/** After a probe that said nothing. */
const AGAIN_MS = 1_000;

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
  #failedAt = Number.NEGATIVE_INFINITY;
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

  /** Returns whether it has opened now, after being closed. */
  ended(era: number, told: Told, now: number): boolean {
    if (era !== this.#era) return false;
    const wasClosed = this.#state === 'closed';
    if (this.#state === 'half-open') this.#judge(told, now);
    else if (told === 'answered') this.#failures = 0;
    else if (told === 'failed') this.#failed(now);
    return wasClosed && this.#state === 'open';
  }

  #failed(now: number): void {
    if (this.#failures > 0 && now - this.#failedAt < ONE_EVENT_MS) return;
    this.#failedAt = now;
    if (++this.#failures >= FAILURES) this.#open(now, OPEN_MS * 2 ** Math.min(this.#openings++, 10));
  }

  #judge(told: Told, now: number): void {
    if (told === 'failed') {
      this.#open(now, OPEN_MS * 2 ** Math.min(this.#openings++, 10));
    } else if (told === 'answered') {
      this.#state = 'closed';
      this.#era++;
      this.#failures = 0;
      this.#openings = 0;
    } else {
      this.#open(now, AGAIN_MS); // another may go in its place, but not at once: it may come to nothing too
    }
  }

  #open(now: number, forMs: number): void {
    this.#state = 'open';
    this.#era++;
    this.#failures = 0;
    this.#until = now + Math.min(OPEN_MAX_MS, forMs);
  }
}
