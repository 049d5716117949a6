import type { BreakerSettings } from '../order.ts';

/** Calls that fail within this time fail of one event, such as a connection that they shared. */
const ONE_EVENT_MS = 100;
/** After a probe that said nothing. */
const AGAIN_MS = 1_000;

/** What one call tells: `answered`, whatever the answer; `failed`, timed out or not sent; `neither` says nothing. */
export type Told = 'answered' | 'failed' | 'neither';

/**
 * Keeps calls from a merchant that does not answer (Nygard, "Release It!", 2007). So many failures in a row open it, for longer
 * each time; when the time is over, exactly as many probes as asked for are sent. All of them answered close it, one that fails
 * opens it again. A call that was started in an earlier state tells nothing about this one: each call carries the era in which it
 * was started.
 */
export class CircuitBreaker {
  #state: 'closed' | 'open' | 'half-open' = 'closed';
  #era = 0;
  #failures = 0;
  #failedAt = Number.NEGATIVE_INFINITY;
  #probes = 0;
  /** How many probes this half-open state sends, and how many were answered since it opened for longer. */
  #asked = 0;
  #answered = 0;
  #openings = 0;
  #openedAt = 0;
  #until = 0;
  settings: BreakerSettings;

  constructor(settings: BreakerSettings) {
    this.settings = settings;
  }

  get state(): 'closed' | 'open' | 'half-open' {
    return this.#state;
  }

  /** Whether a call may start; a call that does start must be told to `started`. */
  allows(now: number): boolean {
    if (this.#state === 'closed') return true;
    return this.#state === 'open' ? now >= this.opensAt : this.#probes < this.#asked;
  }

  /** When a call may start again, as far as is known; the past or now when one may. */
  get opensAt(): number {
    if (this.#state === 'closed') return 0;
    return Math.min(this.#until, this.#openedAt + this.#longestMs); // the longest may have been set shorter since
  }

  /** Returns the era that the call's end has to bring back. */
  started(): number {
    if (this.#state === 'open') {
      this.#state = 'half-open';
      this.#era++;
      this.#asked = Math.max(this.settings.probes, this.#answered + 1);
      this.#probes = this.#answered;
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
    if (++this.#failures >= this.settings.failures) this.#openLonger(now);
  }

  #judge(told: Told, now: number): void {
    if (told === 'failed') this.#openLonger(now);
    else if (told === 'answered') {
      if (++this.#answered < this.#asked) return;
      this.#answered = 0;
      this.#state = 'closed';
      this.#era++;
      this.#failures = 0;
      this.#openings = 0;
    } else {
      this.#open(now, AGAIN_MS); // another may go in its place, but not at once: it may come to nothing too
    }
  }

  get #longestMs(): number {
    const { waitMs, maxWaitMs } = this.settings;
    return Math.max(waitMs, maxWaitMs);
  }

  /** For longer than the time before. */
  #openLonger(now: number): void {
    this.#answered = 0;
    this.#open(now, Math.min(this.#longestMs, this.settings.waitMs * 2 ** Math.min(this.#openings++, 20)));
  }

  #open(now: number, forMs: number): void {
    this.#state = 'open';
    this.#era++;
    this.#failures = 0;
    this.#openedAt = now;
    this.#until = now + forMs;
  }
}
