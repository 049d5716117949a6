import { Lane } from '../lane/lane.ts';
import type { Directory } from '../merchant/directory.ts';
import type { Entry } from './ledger.ts';

const KEPT_MS = 60_000;
/** Longer than the longest rung: its orders may be on the ladder. */
const QUARANTINE_KEPT_MS = 600_000;

/** The lanes of all merchants that have orders here, or had lately. */
export class Lanes {
  readonly #lanes = new Map<string, Lane<Entry>>();
  readonly #directory: Pick<Directory, 'find'>;
  readonly #shardOf: (merchantId: string) => number;

  constructor(directory: Pick<Directory, 'find'>, shardOf: (merchantId: string) => number) {
    this.#directory = directory;
    this.#shardOf = shardOf;
  }

  get byMerchant(): ReadonlyMap<string, Lane<Entry>> {
    return this.#lanes;
  }

  get size(): number {
    return this.#lanes.size;
  }

  [Symbol.iterator](): MapIterator<Lane<Entry>> {
    return this.#lanes.values();
  }

  /** A merchant's lane, made if there is none; undefined when the directory does not have the merchant. */
  of(merchantId: string): Lane<Entry> | undefined {
    const lane = this.#lanes.get(merchantId);
    if (lane !== undefined) {
      if (lane.isGone) this.refresh(lane); // it may be back: the round that tells all lanes may take seconds
      return lane.isGone ? undefined : lane;
    }
    const merchant = this.#directory.find(merchantId);
    if (merchant === undefined) return undefined;
    const fresh = new Lane<Entry>(merchant, this.#shardOf(merchantId));
    this.#lanes.set(merchantId, fresh);
    return fresh;
  }

  /** Takes the directory's new entry over. A merchant that is gone keeps its old one for the orders in hand. */
  refresh(lane: Lane<Entry>): void {
    const merchant = this.#directory.find(lane.merchantId);
    lane.isGone = merchant === undefined;
    lane.merchant = merchant ?? lane.merchant;
  }

  /** Lets go of a lane that has had nothing to do for a while, and remembers nothing that still counts; whether it did. */
  evict(lane: Lane<Entry>, now: number): boolean {
    if (!lane.isIdle) return false;
    const keptMs = lane.quarantined ? QUARANTINE_KEPT_MS : KEPT_MS;
    if (now - Math.max(lane.usedAt, lane.quarantinedUntil, lane.opensAt(now)) < keptMs) return false;
    this.#lanes.delete(lane.merchantId);
    return true;
  }
}
