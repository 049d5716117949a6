import { Histogram } from '../histogram.ts';
import type { DeadReason, Outcome, OutcomeKind, Settlement } from '../outcome.ts';

/** Counts and latencies since start. */
export class Tally {
  received = 0;
  joined = 0;
  retried = 0;
  deferred = 0;
  parked = 0;
  attempts = 0;
  readonly settled: Histogram = new Histogram();
  readonly waited: Histogram = new Histogram();
  readonly called: Histogram = new Histogram();
  readonly outcomes: Record<OutcomeKind, number> = {
    delivered: 0,
    rejected: 0,
    malformed: 0,
    'not-sent': 0,
    ambiguous: 0,
    throttled: 0,
    deferred: 0,
    expired: 0,
    failed: 0,
  };
  readonly deadLettered: Record<DeadReason, number> = {
    rejected: 0,
    malformed: 0,
    expired: 0,
    'handler-error': 0,
    'max-attempts': 0,
    'thread-crash': 0,
    'process-crash': 0,
    ambiguous: 0,
  };

  count(outcome: Outcome, settlement: Settlement): void {
    this.outcomes[outcome.kind]++;
    switch (settlement.kind) {
      case 'ack':
        return;
      case 'retry':
        this.retried++;
        return;
      case 'defer':
        this.deferred++;
        return;
      case 'dead-letter':
        this.deadLettered[settlement.reason]++;
        return;
      case 'park':
        this.parked++;
    }
  }
}
