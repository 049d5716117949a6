import type { DeadLetter } from '../../src/dead-letter.ts';

/** A dead letter with what is given, and anything else. */
export function deadLetter(given: Partial<DeadLetter>): DeadLetter {
  return {
    merchantId: 'm-1',
    orderId: 'o-1',
    identity: 'id-1',
    hop: 6,
    attempt: 6,
    reason: 'max-attempts',
    detail: '',
    endedAt: 0,
    publishedAt: 0,
    replayedAt: undefined,
    bytes: 100,
    fingerprint: 1,
    ...given,
  };
}
