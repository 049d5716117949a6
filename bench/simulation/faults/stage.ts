import type { History } from './history.ts';
import type { Broker } from './broker.ts';
import type { Merchants } from './merchants.ts';
import type { Dice } from './dice.ts';
import type { VirtualTime } from './virtual-time.ts';
import type { Process } from './process.ts';

/** What the stand-ins for the outside world act in: one simulated world at a time. */
export interface Stage {
  readonly time: VirtualTime;
  readonly dice: Dice;
  readonly broker: Broker;
  readonly merchants: Merchants;
  readonly history: History;
  /** The process that runs now; the last one when none does. */
  readonly process: Process;
  /** The number of the message that its process dies of whenever it is tried; absent when there is none. */
  readonly poison: number | undefined;
  /** Processes that have died of it. */
  readonly deaths: number;
  /** The process dies of it. */
  diesOfPoison(): void;
  /** A line of the trace; absent when nobody reads it. */
  readonly tell: ((text: string) => void) | undefined;
}

let current: Stage | undefined;

export function enter(stage: Stage | undefined): void {
  current = stage;
}

export function stage(): Stage {
  if (current === undefined) throw new Error('the product runs outside of a simulated world');
  return current;
}
