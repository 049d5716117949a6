import type { Receipt } from './receipts.ts';

/** A line of a publisher's journal. */
export interface PublishedMessage {
  /** Message identity, which is the idempotency key. */
  readonly key: string;
  /** Order ID. */
  readonly order: string;
  readonly merchant: string;
  /** When it was due to be published, in milliseconds since the epoch: a publisher that lags adds to the latency. */
  readonly intendedAt: number;
  /** When the broker confirmed it; absent or null when it did not, so that nobody promised anything. */
  readonly confirmedAt?: number | null;
}

/** What a run looks like from outside: nothing in it comes from the program under test. */
export interface History {
  /** A key that comes again is the same message, due when it came first. */
  readonly published: Iterable<PublishedMessage>;
  readonly receipts: Iterable<SeenMessage>;
  /** Identities in the dead queue, one a message, so that a second copy is there twice. The same below. @default none */
  readonly dead?: Iterable<string>;
  /** Identities in the ambiguous queue. @default none */
  readonly ambiguous?: Iterable<string>;
  /** Identities that were still to be delivered, in the queue itself or on the ladder. @default none */
  readonly queued?: Iterable<string>;
  /** The merchants that no fault was planned for. @default all */
  readonly isHealthy?: (merchant: string) => boolean;
}

/** The part of a receipt that counts here. */
export type SeenMessage = Pick<
  Receipt,
  'key' | 'merchant' | 'acceptedAt' | 'duplicates' | 'bodyChanged' | 'merchantChanged'
>;

/**
 * What a run came to. Each published message counts in exactly one of delivered, deadLettered, parked, stillQueued and
 * lost, the first of them that is true of it; so these five make up `published`.
 */
export interface Verdict {
  /** Distinct keys that the broker confirmed, and those not confirmed that turned up all the same. */
  readonly published: number;
  /** Accepted by a merchant (a 2xx was handed to the socket), wherever else a copy may be. */
  readonly delivered: number;
  readonly deadLettered: number;
  /** In the ambiguous queue. */
  readonly parked: number;
  readonly stillQueued: number;
  /** Confirmed, or sent at least once, and neither accepted nor in a queue. */
  readonly lost: number;
  /** The first 20 of the lost. */
  readonly lostKeys: readonly string[];
  /**
   * Messages with more than one end: accepted, dead, ambiguous and queued are one each, and every copy in a queue is one.
   * They are also counted above, once.
   */
  readonly doubled: number;
  /** The first 20 of the doubled. */
  readonly doubledKeys: readonly string[];
  /** Not confirmed and never seen again; not in `published`. */
  readonly unconfirmed: number;
  /**
   * Sends, by all receipts, that no scheduled attempt explains (the key had had this attempt number before), or that came
   * after the merchant had already accepted the message.
   */
  readonly duplicateSends: number;
  /** The most of them that one message had. */
  readonly mostDuplicates: number;
  /** Receipts whose body differed between sends. */
  readonly bodyChanged: number;
  /** Published messages that went to a merchant that was not theirs. */
  readonly misdirected: number;
  /** Keys that came to a merchant, or are in a queue, and that nobody has published: a send with another key than its own. */
  readonly unknown: number;
  /** The first 20 of them. */
  readonly unknownKeys: readonly string[];
  readonly healthy: {
    readonly published: number;
    readonly delivered: number;
    /** From the intended publish to the merchant's first 2xx, over those delivered; null when none was. */
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
  };
}

const MAX_KEYS = 20;

/** Judges a run. Pure; reads each part of the history once. */
export function check(history: History): Verdict {
  const { isHealthy = () => true } = history;
  const dead = copies(history.dead);
  const ambiguous = copies(history.ambiguous);
  const queued = copies(history.queued);
  const receipts = new Map<string, SeenMessage>();
  let duplicateSends = 0;
  let mostDuplicates = 0;
  let bodyChanged = 0;
  for (const receipt of history.receipts) {
    receipts.set(receipt.key, receipt);
    duplicateSends += receipt.duplicates;
    mostDuplicates = Math.max(mostDuplicates, receipt.duplicates);
    if (receipt.bodyChanged) bodyChanged++;
  }

  const counts = { published: 0, delivered: 0, deadLettered: 0, parked: 0, stillQueued: 0, lost: 0 };
  const lostKeys: string[] = [];
  const doubledKeys: string[] = [];
  let doubled = 0;
  let unconfirmed = 0;
  let misdirected = 0;
  const healthy = { published: 0, delivered: 0 };
  const latencies: number[] = [];

  const unknown = new Set([...receipts.keys(), ...dead.keys(), ...ambiguous.keys(), ...queued.keys()]);
  for (const { key, merchant, intendedAt, confirmedAt } of distinct(history.published)) {
    unknown.delete(key);
    const receipt = receipts.get(key);
    const acceptedAt = receipt?.acceptedAt ?? null;
    const inDead = dead.get(key) ?? 0;
    const inAmbiguous = ambiguous.get(key) ?? 0;
    const inQueue = queued.get(key) ?? 0;
    const ends = (acceptedAt === null ? 0 : 1) + inDead + inAmbiguous + inQueue;
    // A send alone is no end, but it shows that the broker had the message.
    if (receipt === undefined && ends === 0 && confirmedAt == null) {
      unconfirmed++;
      continue;
    }
    counts.published++;
    if (acceptedAt !== null) counts.delivered++;
    else if (inDead > 0) counts.deadLettered++;
    else if (inAmbiguous > 0) counts.parked++;
    else if (inQueue > 0) counts.stillQueued++;
    else if (++counts.lost <= MAX_KEYS) lostKeys.push(key);
    if (ends > 1 && ++doubled <= MAX_KEYS) doubledKeys.push(key);
    if (receipt !== undefined && (receipt.merchant !== merchant || receipt.merchantChanged)) misdirected++;
    if (!isHealthy(merchant)) continue;
    healthy.published++;
    if (acceptedAt === null) continue;
    healthy.delivered++;
    latencies.push(acceptedAt - intendedAt);
  }

  const sorted = Float64Array.from(latencies).sort();
  return {
    ...counts,
    lostKeys,
    doubled,
    doubledKeys,
    unconfirmed,
    duplicateSends,
    mostDuplicates,
    bodyChanged,
    misdirected,
    unknown: unknown.size,
    unknownKeys: [...unknown].slice(0, MAX_KEYS),
    healthy: { ...healthy, p50Ms: percentile(sorted, 50), p99Ms: percentile(sorted, 99) },
  };
}

/**
 * Nearest-rank percentile of ascending numbers: the smallest of them that at least `percent` of 100 do not exceed, so
 * always one that was measured. Null of nothing.
 */
export function percentile(ascending: ArrayLike<number>, percent: number): number | null {
  const rank = Math.max(1, Math.ceil((percent / 100) * ascending.length));
  return ascending[rank - 1] ?? null;
}

/** How often each identity is in a queue. */
function copies(identities: Iterable<string> = []): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const identity of identities) counts.set(identity, (counts.get(identity) ?? 0) + 1);
  return counts;
}

/** One line a key: due when it came first, confirmed if any of its lines is. */
function distinct(lines: Iterable<PublishedMessage>): Iterable<PublishedMessage> {
  const messages = new Map<string, PublishedMessage>();
  for (const line of lines) {
    const first = messages.get(line.key);
    if (first === undefined) messages.set(line.key, line);
    else if (first.confirmedAt == null && line.confirmedAt != null) {
      messages.set(line.key, { ...first, confirmedAt: line.confirmedAt });
    }
  }
  return messages.values();
}
