import type { Delivery } from '../broker/source.ts';
import type { Lane } from '../lane/lane.ts';
import { ACK, type Outcome, type Settlement } from '../outcome.ts';
import { isSuspicious, returnsOf } from './returns.ts';

/** An order in hand: from its arrival until its settlement is durable. */
export interface Entry {
  /** Names the copy; see keyOf. */
  readonly key: string;
  /** The arrival that is to be settled; a redelivery replaces one whose channel is gone. */
  delivery: Delivery;
  /** Further arrivals of the same copy, settled by the same outcome. */
  twins: Delivery[] | undefined;
  readonly lane: Lane<Entry>;
  readonly bytes: number;
  state: 'waiting' | 'in-flight' | 'settling';
  /** When it came, on the clock's monotonic scale. */
  readonly arrivedAt: number;
  /** When it was handed to its shard, on the clock's monotonic scale. */
  startedAt: number;
  /** What its lane's breaker was when it was handed out. */
  era: number;
  overAge: boolean;
  earlier: Entry | undefined;
  later: Entry | undefined;
  confirmFirst: boolean;
  readonly possiblySent: boolean;
  /** How often it came back without a word of an attempt. */
  readonly returns: number;
  next: Entry | undefined;
}

/** The entry of a delivery that has just arrived; `isNew` when this process never had the copy before. */
export function entryOf(delivery: Delivery, lane: Lane<Entry>, key: string, isNew: boolean, now: number): Entry {
  return {
    key,
    delivery,
    twins: undefined,
    lane,
    bytes: delivery.bytes,
    state: 'waiting',
    arrivedAt: now,
    startedAt: 0,
    era: 0,
    overAge: false,
    earlier: undefined,
    later: undefined,
    confirmFirst: delivery.confirmFirst,
    possiblySent: isPossiblySent(delivery, isNew),
    // What this process had before was not brought back by a process's death.
    returns: isNew ? returnsOf(delivery) : delivery.returns,
    next: undefined,
  };
}

/** Whether an earlier attempt may have arrived, or somebody who is gone may have made one. */
export function isPossiblySent(delivery: Delivery, isNew: boolean): boolean {
  return delivery.possiblySent || (isNew && delivery.redelivered) || isSuspicious(delivery);
}

/** What comes of an order whose deadline has passed. */
export function expired({ possiblySent, delivery }: Entry): Outcome {
  const before = possiblySent || delivery.attempt > 1 ? '; an earlier attempt may have arrived' : '';
  return { kind: 'expired', reason: `its deadline passed before it could be sent${before}` };
}

/** What a late twin is to be settled with; `released` means that its first arrival was never sent. */
export type Late = Settlement | 'released';

/** What is remembered of a settled copy: its fingerprint alone when a late twin is simply acknowledged. */
type Settled = number | { readonly fingerprint: number; readonly late: Late };

const GENERATION_SIZE = 65_536;

/**
 * Every copy, (identity, hop), that is in hand or was lately: a redelivery of a copy in hand joins it, and the late twin of
 * a settled one is settled without a send. Copies of hop 0 and republished ones are kept apart: only we publish the
 * latter, so a rush of new orders does not push them out of the window.
 */
export class Ledger {
  readonly #first = new Copies();
  readonly #later = new Copies();

  get size(): number {
    return this.#first.inHand.size + this.#later.inHand.size;
  }

  *entries(): Generator<Entry> {
    yield* this.#first.inHand.entries();
    yield* this.#later.inHand.entries();
  }

  /** The entry of the same copy, if it is in hand and really the same: publishers may reuse a message ID. */
  sameCopy(key: string, delivery: Delivery): Entry | undefined {
    const entry = this.#of(delivery).inHand.get(key);
    if (entry === undefined || entry.lane.merchantId !== delivery.merchantId) return undefined;
    return entry.delivery.body === delivery.body ? entry : undefined;
  }

  /** False when another message with this identity is in hand; the entry then lives without joining. */
  add(entry: Entry): boolean {
    return this.#of(entry.delivery).inHand.add(entry.key, entry);
  }

  /** Takes an entry out of hand, and remembers what a late twin is to be settled with. */
  end(entry: Entry, late: Late): void {
    this.forget(entry);
    this.remember(entry.key, entry.delivery, late);
  }

  remember(key: string, delivery: Delivery, late: Late): void {
    const fingerprint = printOf(delivery);
    this.#of(delivery).remember(key, late === ACK ? fingerprint : { fingerprint, late });
  }

  /** Takes an entry out of hand as if it had never come. */
  forget(entry: Entry): void {
    this.#of(entry.delivery).inHand.remove(entry.key, entry);
  }

  /** Whether a copy is or was here. */
  knows(copy: { readonly identity: string; readonly hop: number }): boolean {
    const copies = copy.hop === 0 ? this.#first : this.#later;
    const key = keyOf(copy);
    return copies.inHand.get(key) !== undefined || copies.settled(key) !== undefined;
  }

  /** What to settle this arrival with, if its copy was settled here before. */
  lateTwin(key: string, delivery: Delivery): Late | undefined {
    // A first-hop copy that the broker has not given out before cannot be a twin: its publisher has reused the ID.
    if (delivery.hop === 0 && !delivery.redelivered) return undefined;
    const settled = this.#of(delivery).settled(key);
    if (settled === undefined) return undefined;
    const [print, late] = typeof settled === 'number' ? [settled, ACK] : [settled.fingerprint, settled.late];
    return print === printOf(delivery) ? late : undefined;
  }

  #of(delivery: Delivery): Copies {
    return delivery.hop === 0 ? this.#first : this.#later;
  }
}

/** Copies in hand, and a bounded memory of settled ones in two generations: when the young one is full, the old one goes. */
class Copies {
  readonly inHand = new InHand();
  #young = new Map<string, Settled>();
  #old = new Map<string, Settled>();

  remember(key: string, settled: Settled): void {
    this.#young.set(key, settled);
    if (this.#young.size < GENERATION_SIZE) return;
    this.#old = this.#young;
    this.#young = new Map();
  }

  settled(key: string): Settled | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }
}

/**
 * Entries by their key. The map holds places in an array and not the entries: as entries come and go, V8 replaces a map's
 * table again and again, an old table refers to the next one and to what it held, and one that was promoted would keep
 * every later order in memory until the next full collection.
 */
class InHand {
  readonly #places = new Map<string, number>();
  readonly #entries: (Entry | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.size;
  }

  get(key: string): Entry | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#entries[place];
  }

  /** False, and nothing is done, when the key is taken. */
  add(key: string, entry: Entry): boolean {
    if (this.#places.has(key)) return false;
    const place = this.#free.pop() ?? this.#entries.length;
    this.#entries[place] = entry;
    this.#places.set(key, place);
    return true;
  }

  /** Takes the entry out, if it is this one that the key stands for. */
  remove(key: string, entry: Entry): void {
    const place = this.#places.get(key);
    if (place === undefined || this.#entries[place] !== entry) return;
    this.#places.delete(key);
    this.#entries[place] = undefined;
    this.#free.push(place);
  }

  *entries(): Generator<Entry> {
    for (const entry of this.#entries) if (entry !== undefined) yield entry;
  }
}

/**
 * Tells a copy from that of another message with the same ID. Republished ones carry when their message was published, all alike: an order
 * that was published anew, in the same words, has hops of its own.
 */
function printOf({ hop, fingerprint, publishedAt }: Delivery): number {
  return hop === 0 ? fingerprint : (fingerprint ^ (publishedAt % 2 ** 32)) >>> 0;
}

/**
 * Names a copy among those of its kind: first-hop copies by their identity, which costs nothing, republished ones by hop
 * and identity, in which the digits before the first colon are ours.
 */
export function keyOf(copy: { readonly identity: string; readonly hop: number }): string {
  return copy.hop === 0 ? copy.identity : `${copy.hop}:${copy.identity}`;
}
