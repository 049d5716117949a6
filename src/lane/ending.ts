import type { Outcome } from '../outcome.ts';
import type { Told } from './circuit-breaker.ts';

/** How a call ended, as far as its lane must know. */
export interface Ending {
  readonly told: Told;
  /** The merchant said that it has too many. */
  readonly overloaded: boolean;
  /** How long it asked to be left alone, in milliseconds. */
  readonly retryAfterMs: number | undefined;
}

const ANSWERED: Ending = { told: 'answered', overloaded: false, retryAfterMs: undefined };
const FAILED: Ending = { told: 'failed', overloaded: false, retryAfterMs: undefined };
/** Tells nothing of the merchant: what our own side came to. */
export const NEITHER: Ending = { told: 'neither', overloaded: false, retryAfterMs: undefined };

/** What an attempt tells of the merchant: an answer is an answer, whatever it says. */
export function endingOf(outcome: Outcome): Ending {
  const { kind } = outcome;
  if (kind === 'throttled') return { told: 'answered', overloaded: true, retryAfterMs: outcome.retryAfterMs };
  if (kind === 'ambiguous' && outcome.status !== undefined && outcome.retryAfterMs !== undefined)
    return { ...ANSWERED, retryAfterMs: outcome.retryAfterMs };
  if (kind === 'delivered' || kind === 'rejected' || ('status' in outcome && outcome.status !== undefined))
    return ANSWERED;
  return kind === 'not-sent' || kind === 'ambiguous' ? FAILED : NEITHER;
}
