import type { Verdict } from '../../src/sim/checker.ts';
import type { TakenMessage } from '../../src/sim/take-all.ts';
import type { Stage } from './stage.ts';

/** One row of the matrix: a fault, and what must be true of a run that it hits. */
export interface Row {
  /** For `ROW=`. */
  readonly name: string;
  /** As the table says it. */
  readonly fault: string;
  /** Part of `make test`. */
  readonly short?: boolean;
  /** How long a round may take, in milliseconds; one that takes longer has failed. @default 180_000 */
  readonly limitMs?: number;
  /** Plays one round, to the end of its last process. Throws when something was not as it must be. */
  play(stage: Stage): Promise<Played>;
}

/** What a round says of itself, beside what the history shows. */
export interface Played {
  /** The most duplicate sends that the fault can explain. */
  readonly bound: number;
  /** The most that one message may have of them. @default bound */
  readonly boundPerMessage?: number;
  /** From the end of each fault until a merchant got the next call, in milliseconds. */
  readonly recoveredMs: readonly number[];
  /** Dead letters that are as they should be. @default 0 */
  readonly deadLettered?: number;
  /** Messages that may have a second end: a copy that a lost confirm explains. @default 0 */
  readonly doubled?: number;
  /** What the round has measured or counted, beside the table. */
  readonly shown?: readonly string[];
  /** What else must be true of the dead letters; says what is not. */
  readonly judgeDead?: (dead: readonly TakenMessage[]) => string[];
}

/** Where a verdict is not what it must be; empty when all is well. */
export function faultsOf(verdict: Verdict, played: Played): string[] {
  const { bound, boundPerMessage = bound, deadLettered = 0, doubled = 0 } = played;
  const problems: string[] = [];
  const expect = (what: string, got: number, most: number, keys: readonly string[] = []): void => {
    const which = keys.length === 0 ? '' : ` (${keys.slice(0, 5).join(', ')})`;
    if (got > most) problems.push(`${what}: expected at most ${most}, got ${got}${which}`);
  };
  expect('lost', verdict.lost, 0, verdict.lostKeys);
  expect('still queued at the end', verdict.stillQueued, 0);
  expect('duplicate sends', verdict.duplicateSends, bound);
  expect('duplicate sends of one message', verdict.mostDuplicates, boundPerMessage);
  expect('bodies that changed between sends', verdict.bodyChanged, 0);
  expect('sends to a wrong merchant', verdict.misdirected, 0);
  expect('sends and copies with a key that nobody published', verdict.unknown, 0, verdict.unknownKeys);
  expect('messages with two ends', verdict.doubled, doubled, verdict.doubledKeys);
  expect('parked', verdict.parked, 0);
  if (verdict.deadLettered !== deadLettered) {
    problems.push(`dead-lettered: expected ${deadLettered}, got ${verdict.deadLettered}`);
  }
  if (verdict.published === 0) problems.push('nothing was published');
  return problems;
}
