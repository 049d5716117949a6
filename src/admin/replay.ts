import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { DeadLetter } from '../dead-letter.ts';

export interface ReplayOptions {
  readonly ratePerSecond: number;
  /** How many dead letters at most; undefined for all. */
  readonly limit: number | undefined;
  readonly clock: Clock;
}

/** What a replay does with a dead letter it was offered. `A` is its arrival: how the source of the letters knows it. */
export interface ReplayActions<A> {
  /** Publishes the copy; `done` is called once, when a queue has it durably. */
  publish(arrival: A, letter: DeadLetter, done: () => void): void;
  /** Takes the letter out of its queue; nothing is done if its arrival is stale. */
  ack(arrival: A): void;
}

interface Copy<A> {
  readonly letter: DeadLetter;
  state: 'waiting' | 'published' | 'done';
  /** All arrivals of it that can still be acknowledged. */
  arrivals: A[];
}

/**
 * Unconfirmed at once: most of what a kill leaves both in the queue and among the dead letters, and what comes in a burst
 * when a broker takes messages again. A quarter of a second's worth.
 */
const MIN_UNCONFIRMED = 10;
const MAX_UNCONFIRMED = 100;
const UNCONFIRMED_S = 0.25;
/** Bodies held for their turn. */
const MAX_BYTES = 64 * 2 ** 20;
const MAX_WAITING = 10_000;
/** The broker takes back what it was not told of for half an hour; a round is to be over long before. */
const ROUND_S = 300;
/** How much a turn that came late may catch up. */
const CATCH_UP_MS = 250;

/**
 * Sends dead letters back at a rate, each once, however often they arrive: a letter is acknowledged only when its copy is
 * durably in the queue, and when that acknowledgement is lost, the letter's next arrival is acknowledged without another
 * copy. Works in rounds, because letters come by the hundred thousand and are not all held: `offer` whatever there is,
 * then `run`, until a round has left none behind.
 */
export class Replay<A> {
  readonly #options: ReplayOptions;
  readonly #actions: ReplayActions<A>;
  readonly #copies = new Map<string, Copy<A>>();
  /** Identities replayed here: one that has died again in the meantime is not replayed again. */
  readonly #identities = new Set<string>();
  #waiting: Copy<A>[] = [];
  #bytes = 0;
  #unconfirmed = 0;
  #nextAt = 0;
  #change: PromiseWithResolvers<void> | undefined;
  /** Letters whose copy is in the queue. */
  replayed = 0;
  /** Further arrivals of letters replayed here: second copies, or an acknowledgement that was lost. */
  joined = 0;
  /** Letters that have died again since they were replayed here. */
  diedAgain = 0;
  /** Letters that were meant and that there was no room for in this round. */
  left = 0;

  constructor(options: ReplayOptions, actions: ReplayActions<A>) {
    this.#options = options;
    this.#actions = actions;
  }

  /** Letters on their way: waiting for their turn, or for the broker's confirm. */
  get pending(): number {
    return this.#waiting.length + this.#unconfirmed;
  }

  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  /** Takes a letter that is meant; true if its arrival, body included, must be kept. */
  offer(letter: DeadLetter, arrival: () => A): boolean {
    const key = keyOf(letter);
    const known = key === undefined ? undefined : this.#copies.get(key);
    if (known !== undefined) {
      this.joined++;
      if (known.state === 'done') this.#actions.ack(arrival());
      else known.arrivals.push(arrival());
      return false;
    }
    if (letter.identity !== '' && this.#identities.has(letter.identity) && letter.replayedAt !== undefined) {
      this.diedAgain++;
      return false;
    }
    const taken = this.replayed + this.pending;
    if (this.#options.limit !== undefined && taken >= this.#options.limit) return false;
    const most = Math.min(MAX_WAITING, Math.ceil(this.#options.ratePerSecond * ROUND_S));
    if (this.#waiting.length >= most || (this.#bytes >= MAX_BYTES && this.#waiting.length > 0)) {
      this.left++;
      return false;
    }
    const copy: Copy<A> = { letter, state: 'waiting', arrivals: [arrival()] };
    if (key !== undefined) this.#copies.set(key, copy);
    this.#waiting.push(copy);
    this.#bytes += letter.bytes;
    return true;
  }

  /** Publishes what it has taken, at its rate, and resolves when all of it is acknowledged or `stopped` is aborted. */
  async run(stopped: AbortSignal): Promise<void> {
    const { clock, ratePerSecond } = this.#options;
    const unconfirmed = Math.max(MIN_UNCONFIRMED, Math.min(MAX_UNCONFIRMED, ratePerSecond * UNCONFIRMED_S));
    stopped.addEventListener('abort', () => this.#changed(), { once: true });
    while (this.#waiting.length > 0 && !stopped.aborted) {
      if (this.#unconfirmed >= unconfirmed) {
        await this.#nextChange();
        continue;
      }
      const waitMs = this.#nextAt - clock.now();
      if (waitMs > 0) {
        await sleep(Math.ceil(waitMs), undefined, { signal: stopped }).catch(() => undefined); // it is asked again
        continue;
      }
      this.#nextAt = Math.max(this.#nextAt, clock.now() - CATCH_UP_MS) + 1000 / ratePerSecond;
      this.#publish(this.#waiting.shift() as Copy<A>);
    }
    await this.confirmed(stopped);
  }

  /** Resolves when all that was published is durably in the queue, or `stopped` is aborted. */
  async confirmed(stopped: AbortSignal): Promise<void> {
    const changed = (): void => this.#changed();
    stopped.addEventListener('abort', changed, { once: true });
    while (this.#unconfirmed > 0 && !stopped.aborted) await this.#nextChange();
    stopped.removeEventListener('abort', changed);
  }

  /**
   * A round is over, and its arrivals with it. What was not published is forgotten and may be offered again; what was stays
   * known.
   */
  endRound(): void {
    for (const { letter } of this.#waiting) {
      const key = keyOf(letter);
      if (key !== undefined) this.#copies.delete(key);
    }
    this.#waiting = [];
    this.#bytes = 0;
    this.left = 0;
    for (const copy of this.#copies.values()) copy.arrivals = [];
  }

  #publish(copy: Copy<A>): void {
    const { letter } = copy;
    copy.state = 'published';
    this.#bytes -= letter.bytes;
    this.#unconfirmed++;
    if (letter.identity !== '') this.#identities.add(letter.identity);
    this.#actions.publish(copy.arrivals[0] as A, letter, () => {
      copy.state = 'done';
      this.replayed++;
      this.#unconfirmed--;
      for (const arrival of copy.arrivals.splice(0)) this.#actions.ack(arrival);
      this.#changed();
    });
  }

  #nextChange(): Promise<void> {
    this.#change ??= Promise.withResolvers();
    return this.#change.promise;
  }

  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }
}

/** Names one copy, as the worker's ledger does; undefined for a message that has no identity, which never is another's copy. */
function keyOf({ identity, hop, fingerprint }: DeadLetter): string | undefined {
  return identity === '' ? undefined : `${hop}:${fingerprint}:${identity}`;
}
