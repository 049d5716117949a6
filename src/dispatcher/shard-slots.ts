import { FREE, HANDED, outcomeOf, SENDING, type ThreadOutcome } from '../protocol.ts';
import { NONE, SlotTable } from '../slot-table.ts';
import type { Entry } from './ledger.ts';

/** What became of a lost thread's orders, by the table. */
export interface Judged {
  /** The order whose handler was on the stack, if one was. */
  readonly onStack: Entry | undefined;
  /** It said what they came to before it was lost. */
  readonly ended: readonly (readonly [Entry, ThreadOutcome])[];
  /** Provably not sent. */
  readonly handed: readonly Entry[];
  /** May have been sent. */
  readonly sending: readonly Entry[];
}

/** The orders in a shard's hands, a slot of the table each. */
export class ShardSlots {
  readonly table: SlotTable;
  readonly #entries: (Entry | undefined)[];
  readonly #generations: Int32Array;
  /** By slot, the place of its order among all that were handed out. */
  readonly #turns: Float64Array;
  readonly #free: number[] = [];
  #handed = 0;

  constructor(size: number) {
    this.table = new SlotTable(size);
    this.#entries = Array.from({ length: size });
    this.#generations = new Int32Array(size);
    this.#turns = new Float64Array(size);
    for (let slot = size - 1; slot >= 0; slot--) this.#free.push(slot);
  }

  get used(): number {
    return this.#entries.length - this.#free.length;
  }

  /** Gives an order a slot; undefined when all are taken. */
  open(entry: Entry): number | undefined {
    const slot = this.#free.pop();
    if (slot === undefined) return undefined;
    this.#entries[slot] = entry;
    this.#generations[slot] = this.table.open(slot, HANDED);
    this.#turns[slot] = ++this.#handed;
    return slot;
  }

  generation(slot: number): number {
    return this.#generations[slot] as number;
  }

  /** Takes the order out; undefined when a late message speaks of a slot that is another generation's by now. */
  close(slot: number, generation: number): Entry | undefined {
    const entry = this.#entries[slot];
    if (entry === undefined || this.#generations[slot] !== generation) return undefined;
    this.#release(slot);
    return entry;
  }

  /** The thread is gone, and all that it had posted is taken in: the table tells about the rest, in the order of handing out. */
  judge(why: string): Judged {
    const running = this.table.lastRunning();
    const onStack = running === NONE ? undefined : this.#entries[running];
    this.table.running(NONE, 0);
    const ended: [Entry, ThreadOutcome][] = [];
    const handed: Entry[] = [];
    const sending: Entry[] = [];
    const slots = [...this.#entries.keys()].filter((slot) => this.#entries[slot] !== undefined);
    slots.sort((a, b) => (this.#turns[a] as number) - (this.#turns[b] as number));
    for (const slot of slots) {
      const entry = this.#entries[slot] as Entry;
      const state = this.table.state(slot);
      this.#release(slot);
      if (state === HANDED) handed.push(entry);
      else if (state === SENDING) sending.push(entry);
      else ended.push([entry, outcomeOf(state) ?? { kind: 'ambiguous', reason: why }]);
    }
    return { onStack, ended, handed, sending };
  }

  #release(slot: number): void {
    this.#entries[slot] = undefined;
    this.table.open(slot, FREE);
    this.#free.push(slot);
  }
}
