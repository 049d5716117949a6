import type { Lane } from '../lane/lane.ts';
import type { Entry } from './ledger.ts';

const HOLD_MS = 1000;
const HOLD_MAX_MS = 60_000;
/** Two unnamed losses of a shard within this time are no chance. */
const AGAIN_MS = 600_000;

/**
 * Finds the order that threads are lost to, and keeps the others from paying for it. When the thread's last words name the
 * order it worked on, that one is blamed and the rest are exonerated. When nothing names it, twice within ten minutes, every lane
 * that was sending becomes a suspect; suspects of a shard run one at a time until an order of theirs comes back, and one is blamed only
 * when it was alone on its thread. A lane that was blamed is held for longer each time.
 */
export class Containment {
  /** By shard: the suspect's order that is in flight. */
  readonly #alone: (Entry | undefined)[] = [];
  readonly #suspects = new Set<Lane<Entry>>();
  /** By shard: when it was last lost without a name. */
  readonly #unnamedAt: (number | undefined)[] = [];

  get suspects(): ReadonlySet<Lane<Entry>> {
    return this.#suspects;
  }

  forget(lane: Lane<Entry>): void {
    this.#suspects.delete(lane);
  }

  mayStart(lane: Lane<Entry>, now: number): boolean {
    return !lane.suspect || (this.#alone[lane.shard] === undefined && now >= lane.heldUntil);
  }

  started(entry: Entry): void {
    if (entry.lane.suspect) this.#alone[entry.lane.shard] = entry;
  }

  /** An attempt came back: its lane is no suspect any more. Returns whether that lets others start. */
  cameBack(entry: Entry): boolean {
    const { lane } = entry;
    if (!lane.suspect) return false;
    if (this.#alone[lane.shard] === entry) this.#alone[lane.shard] = undefined;
    lane.suspect = false;
    lane.strikes = 0;
    this.#suspects.delete(lane);
    return true;
  }

  /**
   * A shard's thread is lost. `onStack` is the order whose handler was running, if one was. Returns the order that is to
   * blame, if that is known.
   */
  lost(shard: number, onStack: Entry | undefined, sending: readonly Entry[], now: number): Entry | undefined {
    const suspect = this.#alone[shard];
    // A suspect beside others may be as innocent as they are.
    const blamed = onStack ?? (sending.length === 1 && sending[0] === suspect ? suspect : undefined);
    this.#alone[shard] = undefined;
    if (blamed === undefined) {
      // Once may be chance, and the price is high: one order at a time for every merchant that was sending.
      const again = now - (this.#unnamedAt[shard] ?? Number.NEGATIVE_INFINITY) < AGAIN_MS;
      this.#unnamedAt[shard] = now;
      if (again || suspect !== undefined) for (const entry of sending) this.#suspect(entry.lane);
      return undefined;
    }
    const { lane } = blamed;
    this.#suspect(lane);
    lane.strikes++;
    lane.heldUntil = now + Math.min(HOLD_MAX_MS, HOLD_MS * 2 ** (lane.strikes - 1));
    return blamed;
  }

  #suspect(lane: Lane<Entry>): void {
    lane.suspect = true;
    this.#suspects.add(lane);
  }
}
