import { hash } from 'node:crypto';
import { brief, type OutcomeEvent, type Settlement } from '../../outcome.ts';
import type { Delivery } from '../source.ts';

/** How an order has ended, or that its attempt has and another will follow. */
type End = 'delivered' | 'dead-lettered' | 'parked' | 'retried';

export interface CloudEvent {
  readonly id: string;
  readonly type: 'orderlane.order.ended' | 'orderlane.attempt.ended';
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** The whole event, in CloudEvents' JSON format. */
  readonly text: string;
}

export const CLOUD_EVENT_TYPE = 'application/cloudevents+json';

const ENDS: Readonly<Record<Exclude<Settlement['kind'], 'defer'>, End>> = {
  ack: 'delivered',
  retry: 'retried',
  'dead-letter': 'dead-lettered',
  park: 'parked',
};
const MAX_ID = 1000;
/** What CloudEvents' strings may not have: control characters, lone surrogates, noncharacters. */
const DISALLOWED = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/gu;

/**
 * An outcome event as CloudEvents 1.0 has it (https://github.com/cloudevents/spec, JSON format, structured mode). Its ID is
 * a digest of the message and of how it ended, and of nothing that another process would find otherwise: not of times, nor of the
 * copy, because what comes again after a crash may be deferred first, or put out for a trial.
 */
export function cloudEvent(
  queue: string,
  delivery: Delivery,
  settlement: Exclude<Settlement, { kind: 'defer' }>,
  event: OutcomeEvent,
): CloudEvent {
  const { identity, hop, ends, attempt, fingerprint, bytes, publishedAt } = delivery;
  // Those of a message that cannot be used may have any length.
  const [orderId, merchant] = [brief(delivery.orderId, MAX_ID), brief(delivery.merchantId, MAX_ID)];
  const { outcome, receivedAt, startedAt, endedAt } = event;
  const end = ENDS[settlement.kind];
  const deadReason = settlement.kind === 'dead-letter' ? settlement.reason : undefined;
  // Fingerprint and size tell messages apart whose publisher has reused an ID, or has given none.
  const facts = [identity, ends, attempt, fingerprint, bytes, end, outcome.kind, deadReason];
  const id = hash('sha256', JSON.stringify(facts), 'hex').slice(0, 32);
  const type = end === 'retried' ? 'orderlane.attempt.ended' : 'orderlane.order.ended';
  const { status, answer } = outcome as { readonly status?: number; readonly answer?: string };
  const text = JSON.stringify({
    specversion: '1.0',
    id,
    source: `/orderlane/${encodeURIComponent(queue)}`,
    type,
    ...(orderId === '' ? {} : { subject: orderId.replace(DISALLOWED, '\u{fffd}') }),
    time: timeOf(endedAt),
    datacontenttype: 'application/json',
    data: {
      identity,
      orderId,
      merchant,
      outcome: outcome.kind,
      end,
      reason: 'reason' in outcome ? outcome.reason : undefined,
      deadLetterReason: deadReason,
      detail: settlement.kind === 'dead-letter' || settlement.kind === 'park' ? settlement.detail : undefined,
      attempt,
      hop,
      publishedAt: timeOf(publishedAt),
      receivedAt: timeOf(receivedAt),
      startedAt: startedAt === undefined ? undefined : timeOf(startedAt),
      endedAt: timeOf(endedAt),
      durationMs: startedAt === undefined ? undefined : Math.round(endedAt - startedAt),
      retryInMs: settlement.kind === 'retry' ? settlement.delayMs : undefined,
      status,
    },
  });
  // It is JSON already: before the braces that end the data and the event.
  return { id, type, time: endedAt, text: answer === undefined ? text : `${text.slice(0, -2)},${answer}}}` };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
