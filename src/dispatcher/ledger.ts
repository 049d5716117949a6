import type { Delivery } from '../broker/source.ts';
import type { Lane } from '../lane/lane.ts';
import type { Settlement } from '../outcome.ts';

/** An order in hand: from its arrival until its settlement is durable. */
export interface Entry {
  /** Names the copy; see keyOf. */
  readonly key: string;
  /** The arrival that is to be settled; a redelivery replaces one whose channel is gone. */
  delivery: Delivery;
  /** Further arrivals of the same copy, settled by the same outcome. */
  twins: Delivery[] | undefined;
  readonly lane: Lane<Entry>;
  state: 'waiting' | 'in-flight' | 'settling';
  /** When it was handed to its shard, on the clock's monotonic scale. */
  startedAt: number;
  confirmFirst: boolean;
  next: Entry | undefined;
}

/** What a late twin is to be settled with; `released` means that its first arrival was never sent. */
export type Late = Settlement | 'released';

interface Settled {
  readonly fingerprint: number;
  readonly late: Late;
}

const GENERATION_SIZE = 65_536;

/**
 * Every copy, (identity, hop), that is in hand or was lately: a redelivery of a copy in hand joins it, and the late twin of
 * a settled one is settled without a send. Copies of hop 0 and republished ones are kept apart: only we publish the
 * latter, so a rush of new orders does not push them out of the window.
 */
export class Ledger {
  readonly #inHand = new Map<string, Entry>();
  readonly #first = new RecentCopies();
  readonly #later = new RecentCopies();

  get size(): number {
    return this.#inHand.size;
  }

  entries(): IterableIterator<Entry> {
    return this.#inHand.values();
  }

  /** The entry of the same copy, if it is in hand and really the same: publishers may reuse a message ID. */
  sameCopy(key: string, delivery: Delivery): Entry | undefined {
    const entry = this.#inHand.get(key);
    return entry !== undefined && entry.delivery.body === delivery.body ? entry : undefined;
  }

  /** False when another message with this identity is in hand; the entry then lives without joining. */
  add(entry: Entry): boolean {
    if (this.#inHand.has(entry.key)) return false;
    this.#inHand.set(entry.key, entry);
    return true;
  }

  /** Takes an entry out of hand, and remembers what a late twin is to be settled with. */
  end(entry: Entry, late: Late): void {
    if (this.#inHand.get(entry.key) === entry) this.#inHand.delete(entry.key);
    this.remember(entry.key, entry.delivery, late);
  }

  remember(key: string, delivery: Delivery, late: Late): void {
    const window = delivery.hop === 0 ? this.#first : this.#later;
    window.add(key, { fingerprint: fingerprint(delivery.body), late });
  }

  /** What to settle this arrival with, if its copy was settled here before. */
  lateTwin(key: string, delivery: Delivery): Late | undefined {
    // A first-hop copy that the broker has not given out before cannot be a twin: its publisher has reused the ID.
    if (delivery.hop === 0 && !delivery.redelivered) return undefined;
    const window = delivery.hop === 0 ? this.#first : this.#later;
    const settled = window.get(key);
    return settled !== undefined && settled.fingerprint === fingerprint(delivery.body) ? settled.late : undefined;
  }
}

/** A bounded memory in two generations: when the young one is full, the old one is dropped whole. */
class RecentCopies {
  #young = new Map<string, Settled>();
  #old = new Map<string, Settled>();

  add(key: string, settled: Settled): void {
    this.#young.set(key, settled);
    if (this.#young.size < GENERATION_SIZE) return;
    this.#old = this.#young;
    this.#young = new Map();
  }

  get(key: string): Settled | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }
}

/** Identities are anybody's text, but the digits before the first colon are ours: no two copies share a key. */
export function keyOf(copy: { readonly identity: string; readonly hop: number }): string {
  return `${copy.hop}:${copy.identity}`;
}

const SAMPLES = 16;

/** Length and a few characters: enough to tell a reused message ID from a redelivery, at no cost that shows. */
function fingerprint(body: string): number {
  const { length } = body;
  let hash = length | 0;
  const step = Math.max(1, Math.floor(length / SAMPLES));
  for (let i = 0; i < length; i += step) hash = Math.imul(hash ^ body.charCodeAt(i), 0x01000193);
  return hash;
}
