import { setImmediate as turn } from 'node:timers/promises';
import { loadSimulation } from './stand-ins.ts';
import type { Outcome } from './world.ts';

export interface Sweep {
  readonly first: number;
  readonly seeds: number;
  /** See loadSimulation. @default nothing */
  readonly broken?: Readonly<Record<string, string>>;
}

/** One seed after the other. A rejection that nobody hears is a finding too. */
export async function* sweep({ first, seeds, broken }: Sweep): AsyncGenerator<Outcome, void, undefined> {
  const { World } = await loadSimulation(broken);
  let unheard: { readonly reason: unknown } | undefined;
  const hear = (reason: unknown): void => {
    unheard ??= { reason };
  };
  process.on('unhandledRejection', hear);
  try {
    for (let seed = first; seed < first + seeds; seed++) {
      const outcome = await new World(seed).run();
      await turn(); // rejections are told at the end of a turn
      const rejected = unheard === undefined ? undefined : `a rejection that nobody heard: ${String(unheard.reason)}`;
      unheard = undefined;
      yield rejected === undefined ? outcome : { ...outcome, finding: outcome.finding ?? rejected };
    }
  } finally {
    process.off('unhandledRejection', hear);
  }
}

/** One seed, told event by event. */
export async function replay(seed: number, tell: (line: string) => void): Promise<Outcome> {
  const { World } = await loadSimulation();
  return await new World(seed, tell).run();
}
