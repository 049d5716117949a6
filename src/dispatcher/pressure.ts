import type { Lane } from '../lane/lane.ts';
import type { Gate } from '../stats.ts';
import type { Budget } from './budget.ts';
import type { Entry } from './ledger.ts';

/** How long it must last: a burst is no lack. */
const LASTS_MS = 5_000;
const SAID_AGAIN_MS = 60_000;

/** What waits, in orders. */
export interface Load {
  readonly waiting: number;
  readonly held: {
    /** Too many calls of other merchants hang, and nothing is known of theirs. */
    readonly suspect: number;
    /** Their merchants have their share of the budget in flight. */
    readonly share: number;
    /** Their merchants answer, but those that take as long have their half of the budget in flight. */
    readonly slow: number;
    /** No gate keeps them, and they are none that catch up: threads do not come to them. */
    readonly shard: number;
  };
  /** All in hand, and how many can be. */
  readonly unsettled: number;
  readonly unsettledBytes: number;
  readonly capacity: number;
  readonly capacityBytes: number;
  /** The broker takes no messages for now. */
  readonly isBlocked: boolean;
}

/** How many of their orders wait for want of something that the process could have more of. */
export function heldOf(lanes: Iterable<Lane<Entry>>, gateOf: (lane: Lane<Entry>) => Gate | undefined): Load['held'] {
  const held = { suspect: 0, share: 0, slow: 0, shard: 0 };
  for (const lane of lanes) {
    const gate = gateOf(lane);
    if (gate === undefined)
      held.shard += lane.catchesUp ? 0 : lane.waiting; // they are to wait, at a pace of their own
    else if (gate === 'share' || gate === 'slow' || (gate === 'suspect' && !lane.isHanging)) held[gate] += lane.waiting;
  }
  return held;
}

/**
 * Says in words when the process's budget, window or threads are too small for its load: where they are, no rule helps but more.
 */
export class Pressure {
  readonly #prefetch: number;
  #since: number | undefined;
  #saidAt = Number.NEGATIVE_INFINITY;
  #words: string | undefined;

  constructor(prefetch: number) {
    this.#prefetch = prefetch;
  }

  /** What is wrong now, for whoever looks. */
  get words(): string | undefined {
    return this.#words;
  }

  /** To be called a few times a second. Returns what is to be logged, if something is. */
  judge(budget: Budget, load: Load, now: number): string | undefined {
    const words = this.#wordsOf(budget, load);
    if (words === undefined) {
      this.#since = undefined;
      this.#words = undefined;
      return undefined;
    }
    this.#since ??= now;
    if (now - this.#since < LASTS_MS) return undefined;
    this.#words = words;
    if (now - this.#saidAt < SAID_AGAIN_MS) return undefined;
    this.#saidAt = now;
    return words;
  }

  #wordsOf(
    { limit, used, overAge, isFull, hasRoom }: Budget,
    { waiting, held, isBlocked, ...window }: Load,
  ): string | undefined {
    const hung = `${overAge} of them for longer than their merchants' normal`;
    if (isFull && waiting > 0) {
      return `all ${limit} calls of --concurrency are in flight, ${hung}, and orders wait: a larger --concurrency would let them go`;
    }
    if (held.suspect > 0) {
      return `${used} of the ${limit} calls of --concurrency are in flight, ${hung}, and ${held.suspect} orders of merchants that nothing is known of wait: a larger --concurrency would leave them room`;
    }
    if (held.share > 0) {
      return `${held.share} orders wait because their merchants have their share of the ${limit} calls of --concurrency: a larger one would let them go`;
    }
    if (held.slow > 0) {
      return `${held.slow} orders wait because merchants that take many times what is usual have their half of the ${limit} calls of --concurrency: a larger one would let them go`;
    }
    if (held.shard > 0) {
      return `${held.shard} orders wait because threads have no time to spare for them, with ${used} of ${limit} calls in flight: more --shards, if there are cores for them, or another process would let them go`;
    }
    const full = this.#fullOf(window);
    if (!hasRoom || full === undefined) return undefined;
    const stuck = `all ${window.unsettled} orders that ${full} has room for are in hand and cannot start`;
    return isBlocked
      ? `${stuck}, nor can they wait elsewhere: the broker takes no messages (rabbitmqctl status shows its alarms)`
      : `${stuck}, ${used} of ${limit} calls are in flight: a larger ${full} would let others come`;
  }

  /** Which of the window's limits is reached. */
  #fullOf({ unsettled, unsettledBytes, capacity, capacityBytes }: Omit<Load, 'waiting' | 'held' | 'isBlocked'>) {
    if (unsettled >= this.#prefetch) return '--prefetch';
    return unsettled >= capacity || unsettledBytes >= capacityBytes ? '--window-bytes' : undefined;
  }
}
