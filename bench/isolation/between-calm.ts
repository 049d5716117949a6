import { CALL_P99_MS, type Fault } from './cases.ts';
import type { Judged } from './judge.ts';

/** The most that healthy p99 may be with nothing wrong, over that of the calls alone. */
export const CALM_MOST = 1.2;
const TRIES = 4;

type Calmness = Pick<Judged, 'healthy' | 'recovery'>;

/** One try: its rate, and how a run with a fault or without is made at it. */
export interface Try<R> {
  /** In orders a second. */
  readonly rate: number;
  readonly running: (fault?: Fault) => Promise<R>;
}

export interface Group<R> {
  readonly rate: number;
  readonly without: readonly [R, R];
  readonly ran: readonly (readonly [Fault, R])[];
  /** How many rates it took. */
  readonly tries: number;
  /** Why this rate tells nothing: not even the last one was held. */
  readonly unheld?: string;
}

/**
 * Runs with the faults, between two without. When the first of these two is not calm, the machine does not hold the rate, and a ratio would tell
 * how far it is behind: the rate is measured again before any fault is tried, a few times.
 *
 * @param most the most that healthy p99 may be in that run, over that of the calls alone
 */
export async function betweenCalm<R extends Calmness>(
  faults: readonly Fault[],
  most: number,
  begin: (tries: number) => Promise<Try<R>>,
  tell: (what: string) => void,
): Promise<Group<R>> {
  for (let tries = 1; ; tries++) {
    const { rate, running } = await begin(tries);
    const before = await running();
    const isHeld = unrest(before) <= most;
    const says = `at ${rate}/s and with nothing wrong, healthy p99 was ${unrest(before).toFixed(2)} times that of the calls alone (at most ${most})`;
    if (!isHeld && tries < TRIES) {
      tell(`${says}: once more`);
      continue;
    }
    const ran: [Fault, R][] = [];
    for (const fault of faults) ran.push([fault, await running(fault)]);
    return { rate, without: [before, await running()], ran, tries, ...(isHeld ? {} : { unheld: says }) };
  }
}

/** Of the time in which others have a fault, and of that after it. */
function unrest({ healthy, recovery }: Calmness): number {
  return Math.max(healthy.p99Ms, recovery.p99Ms) / CALL_P99_MS;
}
