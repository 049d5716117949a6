import type { Lane } from '../lane/lane.ts';
import type { Entry } from './ledger.ts';

const HOLD_MS = 1000;
const HOLD_MAX_MS = 60_000;
/** Two unnamed losses of a shard within this time are no chance. */
const AGAIN_MS = 600_000;

/**
 * Finds the order that threads are lost to, and keeps the others from paying for it. When the thread's last words name the
 * order it worked on, that one is blamed and the rest are exonerated. When nothing names it, twice within ten minutes, every lane
 * that was sending is quarantined; those of a shard run one at a time until an order of theirs comes back, and one is blamed only
 * when it was alone on its thread. A lane that was blamed is held for longer each time.
 */
export class Containment {
  /** By shard: the quarantined lane's order that is in flight. */
  readonly #alone: (Entry | undefined)[] = [];
  readonly #quarantined = new Set<Lane<Entry>>();
  /** By shard: when it was last lost without a name. */
  readonly #unnamedAt: (number | undefined)[] = [];

  get quarantined(): ReadonlySet<Lane<Entry>> {
    return this.#quarantined;
  }

  forget(lane: Lane<Entry>): void {
    this.#quarantined.delete(lane);
  }

  mayStart(lane: Lane<Entry>, now: number): boolean {
    return !lane.quarantined || (this.#alone[lane.shard] === undefined && now >= lane.quarantinedUntil);
  }

  started(entry: Entry): void {
    if (entry.lane.quarantined) this.#alone[entry.lane.shard] = entry;
  }

  /** An attempt came back: its lane is quarantined no more. Returns whether that lets others start. */
  cameBack(entry: Entry): boolean {
    const { lane } = entry;
    if (!lane.quarantined) return false;
    if (this.#alone[lane.shard] === entry) this.#alone[lane.shard] = undefined;
    lane.quarantined = false;
    lane.strikes = 0;
    this.#quarantined.delete(lane);
    return true;
  }

  /**
   * A shard's thread is lost. `onStack` is the order whose handler was running, if one was. Returns the order that is to
   * blame, if that is known.
   */
  lost(shard: number, onStack: Entry | undefined, sending: readonly Entry[], now: number): Entry | undefined {
    const alone = this.#alone[shard];
    // One beside others may be as innocent as they are.
    const blamed = onStack ?? (sending.length === 1 && sending[0] === alone ? alone : undefined);
    this.#alone[shard] = undefined;
    if (blamed === undefined) {
      // Once may be chance, and the price is high: one order at a time for every merchant that was sending.
      const again = now - (this.#unnamedAt[shard] ?? Number.NEGATIVE_INFINITY) < AGAIN_MS;
      this.#unnamedAt[shard] = now;
      if (again || alone !== undefined) for (const entry of sending) this.#quarantine(entry.lane);
      return undefined;
    }
    const { lane } = blamed;
    this.#quarantine(lane);
    lane.strikes++;
    lane.quarantinedUntil = now + Math.min(HOLD_MAX_MS, HOLD_MS * 2 ** (lane.strikes - 1));
    return blamed;
  }

  #quarantine(lane: Lane<Entry>): void {
    lane.quarantined = true;
    this.#quarantined.add(lane);
  }
}
