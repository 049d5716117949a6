import type { Delivery } from '../broker/source.ts';

/** An order that has come back so often without a word of an attempt may be what processes die of. */
const SUSPICIOUS = 3;
/** It was one of few, and has come back again. */
const ALONE = SUSPICIOUS + 1;
/** A count is circumstantial: a copy may come back because it was on its way when another order ended the process. */
const LEAST_LOSSES = 3;

type Counts = Pick<Delivery, 'returns' | 'cameBack'>;

/**
 * How often an order has come back since an attempt at it was last heard of. When a process dies all that it held comes
 * back, tried or not, and with a lost connection too. So from the third time on only what was put out for a trial counts, once.
 */
export function returnsOf({ returns, cameBack }: Counts): number {
  if (cameBack === 0) return returns;
  return returns < SUSPICIOUS ? Math.min(returns + cameBack, SUSPICIOUS) : returns + 1;
}

export function isSuspicious({ returns }: { readonly returns: number }): boolean {
  return returns >= SUSPICIOUS;
}

/** Whether it is suspicious to the next process when it goes back to the broker once more as it is. */
export function isNextSuspicious({ returns, cameBack }: Counts): boolean {
  return isSuspicious({ returns: returnsOf({ returns, cameBack: cameBack + 1 }) });
}

export function isToRunAlone({ returns }: { readonly returns: number }): boolean {
  return returns >= ALONE;
}

/** Processes that ended while it ran alone. */
export function lostAlone(returns: number): number {
  return Math.max(0, returns - ALONE);
}

/** Whether so many processes have ended while it ran alone that it is taken for the cause. */
export function isCondemned(returns: number, maxCrashes: number): boolean {
  return lostAlone(returns) >= Math.max(LEAST_LOSSES, maxCrashes);
}
