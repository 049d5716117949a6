import { rungFor } from '../ladder.ts';
import type { DuplicatesPolicy } from '../order.ts';
import { ACK, brief, type DeadReason, type Outcome, type Settlement } from '../outcome.ts';
import { isCondemned, lostAlone } from './returns.ts';

/** What the decision rests on, beside the outcome. */
export interface Facts {
  /** The attempt that the outcome is of, or that would have come, from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Threads lost to this order so far, this time included. */
  readonly crashes: number;
  readonly maxCrashes: number;
  /** How often it came back without a word of an attempt, this time included. */
  readonly returns: number;
  readonly confirmFirst: boolean;
  readonly duplicates: DuplicatesPolicy;
  /** Whether a handler with `confirm` is loaded; without one nobody can be asked. */
  readonly canConfirm: boolean;
  /** Milliseconds for which the merchant still remembers the order's key. */
  readonly keyLeftMs: number;
  /** Milliseconds to the order's deadline. */
  readonly leftMs: number;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** Milliseconds since the epoch. */
  readonly wall: number;
  /** 0 up to 1. */
  readonly random: number;
}

/** How a delivery ends, by what its attempt came to. The whole of the table in ARCHITECTURE.md. */
export function settlementOf(outcome: Outcome, facts: Facts): Settlement {
  switch (outcome.kind) {
    case 'delivered':
      return ACK;
    case 'rejected':
    case 'malformed':
    case 'expired':
      return dead(outcome.kind, outcome.reason);
    case 'deferred':
      return defer(outcome.reason, outcome.delayMs, outcome.atLeastMs, facts);
    case 'not-sent':
      return retry(outcome.reason, 0, facts.confirmFirst, 'max-attempts', facts);
    case 'throttled':
      return retry(outcome.reason, outcome.retryAfterMs ?? 0, facts.confirmFirst, 'max-attempts', facts);
    case 'failed':
      return retry(outcome.reason, 0, facts.confirmFirst, 'handler-error', facts);
    case 'ambiguous':
      return ambiguous(outcome.reason, outcome.retryAfterMs ?? 0, facts);
  }
}

function ambiguous(reason: string, atLeastMs: number, facts: Facts): Settlement {
  switch (facts.duplicates) {
    case 'never':
      return park(`may have been sent: ${reason}`);
    case 'confirm':
      if (!facts.canConfirm) return park(`may have been sent, and no handler can confirm it: ${reason}`);
      return timely(reason, retry(reason, atLeastMs, true, 'max-attempts', facts));
    case 'idempotent': {
      if (facts.keyLeftMs <= 0) return park(`may have been sent, and the merchant's key window is over: ${reason}`);
      const settlement = retry(reason, atLeastMs, facts.confirmFirst, 'max-attempts', facts);
      if (settlement.kind !== 'retry') return timely(reason, settlement);
      const sentAfterMs = settlement.notBefore === undefined ? settlement.delayMs : atLeastMs;
      if (sentAfterMs < facts.keyLeftMs) return settlement;
      return park(`may have been sent, and the merchant's key window would be over: ${reason}`);
    }
  }
}

/** `expired` says that an order was never sent, which is not true of one that may have been. */
function timely(reason: string, settlement: Settlement): Settlement {
  const late = settlement.kind === 'dead-letter' && settlement.reason === 'expired';
  return late ? dead('ambiguous', `may have been sent, and no time for another attempt: ${reason}`) : settlement;
}

/** Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015), rounded up to the ladder. */
function retry(
  reason: string,
  atLeastMs: number,
  confirmFirst: boolean,
  exhausted: DeadReason,
  facts: Facts,
): Settlement {
  if (facts.crashes >= facts.maxCrashes) {
    return dead('thread-crash', `${facts.crashes} threads were lost to it: ${reason}`);
  }
  const processes = lostAlone(facts.returns);
  if (isCondemned(facts.returns, facts.maxCrashes)) {
    return dead('process-crash', `${processes} processes ended while it ran alone, and it may have been sent`);
  }
  if (facts.attempt >= facts.maxAttempts) return dead(exhausted, `after ${facts.attempt} attempts: ${reason}`);
  const ceiling = Math.min(facts.backoffMaxMs, facts.backoffMs * 2 ** Math.min(facts.attempt - 1, 30));
  const rung = rungFor(facts.random * ceiling, atLeastMs, facts.leftMs);
  if (rung === undefined) return dead('expired', `no time for another attempt: ${reason}`);
  return {
    kind: 'retry',
    delayMs: rung.delayMs,
    attempt: facts.attempt + 1,
    reason: brief(reason),
    confirmFirst,
    crashes: facts.crashes,
    ...(rung.again ? { notBefore: facts.wall + atLeastMs } : {}),
  };
}

function defer(reason: string, delayMs: number, atLeastMs: number, facts: Facts): Settlement {
  const rung = rungFor(delayMs, atLeastMs, facts.leftMs);
  if (rung === undefined) return dead('expired', `it would have to wait past its deadline: ${reason}`);
  return {
    kind: 'defer',
    delayMs: rung.delayMs,
    reason: brief(reason),
    confirmFirst: facts.confirmFirst,
    returns: facts.returns,
    // What is guessed is no reason to wait past the deadline.
    ...(rung.again && delayMs < facts.leftMs ? { notBefore: facts.wall + delayMs } : {}),
  };
}

function dead(reason: DeadReason, detail: string): Settlement {
  return { kind: 'dead-letter', reason, detail: brief(detail) };
}

function park(detail: string): Settlement {
  return { kind: 'park', detail: brief(detail) };
}
