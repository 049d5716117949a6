import type { Lane } from '../lane/lane.ts';
import { brief, type Outcome } from '../outcome.ts';
import type { Entry } from './ledger.ts';

export interface FailureLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** A merchant that fails and answers in turn is told of no more often. */
const AGAIN_MS = 60_000;
const SHOWN = 120;

/**
 * Says why a merchant's orders fail while there are attempts left: at its first failure after a good answer, and when it
 * answers well again. What is told of each later failure is the business of log level debug.
 */
export function noteOutcome({ lane, delivery }: Entry, outcome: Outcome, now: number, log: FailureLog): void {
  switch (outcome.kind) {
    case 'delivered':
      if (lane.failure !== undefined) recovered(lane, log);
      return;
    case 'not-sent':
    case 'ambiguous':
    case 'throttled':
    case 'failed': {
      const isFirst = lane.failures++ === 0;
      lane.failure = brief(outcome.reason, SHOWN);
      if (!isFirst || now < lane.failureToldAt + AGAIN_MS) return;
      lane.failureToldAt = now;
      lane.isFailureTold = true;
      const { merchantId: merchant, orderId: order, attempt } = delivery;
      const { kind, reason } = outcome;
      const status = 'status' in outcome ? outcome.status : undefined;
      log.warn(
        { merchant, order, attempt, outcome: kind, ...(status === undefined ? {} : { status }), reason },
        'attempts at this merchant fail; told once until it takes an order again',
      );
      return;
    }
    // Neither for nor against the merchant, or told one by one as dead letters.
    case 'rejected':
    case 'malformed':
    case 'deferred':
    case 'expired':
  }
}

function recovered(lane: Lane<Entry>, log: FailureLog): void {
  if (lane.isFailureTold) {
    log.info(
      { merchant: lane.merchantId, count: lane.failures, reason: lane.failure },
      'this merchant takes orders again',
    );
  }
  lane.failure = undefined;
  lane.failures = 0;
  lane.isFailureTold = false;
}
