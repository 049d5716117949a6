import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../src/errors.ts';
import type { PrivateBroker } from '../../src/sim/broker.ts';
import type { Verdict } from '../../src/sim/checker.ts';
import { faultsOf, type Played, type Row } from './row.ts';
import { Stage } from './stage.ts';

export interface RoundOptions {
  readonly broker: PrivateBroker;
  readonly seed: number;
  readonly full: boolean;
}

/** What came of one round. */
export interface Round {
  readonly seed: number;
  readonly verdict: Verdict | undefined;
  readonly played: Played | undefined;
  /** Why it failed; empty when it did not. */
  readonly problems: readonly string[];
  readonly seconds: number;
}

const LIMIT_MS = 180_000;
let rounds = 0;

/** Plays one round of a row, judges its history, and leaves nothing behind. Never rejects. */
export async function playRound(row: Row, options: RoundOptions): Promise<Round> {
  const begun = performance.now();
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-faults-'));
  const stage = new Stage({ ...options, dir, queue: `${row.name}-${++rounds}` });
  const { limitMs = LIMIT_MS } = row;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not end within ${limitMs / 1000} s`)), limitMs);
  });
  let verdict: Verdict | undefined;
  let played: Played | undefined;
  const problems: string[] = [];
  try {
    played = await Promise.race([row.play(stage), late]);
    const judged = await Promise.race([stage.judge(stage.receipts), late]);
    verdict = judged.verdict;
    problems.push(...faultsOf(verdict, played), ...(played.judgeDead?.(judged.dead) ?? []));
  } catch (error) {
    problems.push(messageOf(error));
  }
  clearTimeout(timer);
  if (problems.length > 0) {
    problems.push(`the broker's last words are\n${options.broker.tail()}`);
    for (const { pid, log } of stage.workers) problems.push(`the log of worker ${pid} ends with\n${log.tail()}`);
  }
  try {
    await stage.end();
  } catch (error) {
    problems.push(`while it was cleared away: ${messageOf(error)}`);
  }
  await rm(dir, { recursive: true, force: true });
  return { seed: options.seed, verdict, played, problems, seconds: (performance.now() - begun) / 1000 };
}
