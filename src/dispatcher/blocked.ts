import type { Lane } from '../lane/lane.ts';
import type { Gate } from '../stats.ts';
import type { Entry } from './ledger.ts';

/** Lanes with waiting orders that a gate holds, until they are offered again. Those that `slow` holds are kept in their order. */
export class BlockedLanes {
  readonly #others = new Set<Lane<Entry>>();
  /** Longest first: what becomes free is offered to them before it is to whoever gave it back. */
  readonly #slow = new Set<Lane<Entry>>();

  add(lane: Lane<Entry>, gate: Gate): void {
    (gate === 'slow' ? this.#slow : this.#others).add(lane);
  }

  /** Of those that `slow` holds and whose orders still wait, the one that has been held longest. */
  takeSlow(): Lane<Entry> | undefined {
    for (const lane of this.#slow) {
      this.#slow.delete(lane);
      if (lane.waiting > 0) return lane;
    }
    return undefined;
  }

  *[Symbol.iterator](): Generator<Lane<Entry>> {
    yield* this.#slow;
    yield* this.#others;
  }

  clear(): void {
    this.#slow.clear();
    this.#others.clear();
  }
}
