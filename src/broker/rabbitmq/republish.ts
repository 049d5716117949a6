import type { MessageProperties, Options } from 'amqplib';
import type { DeadLetter } from '../../dead-letter.ts';
import { brief, type Settlement } from '../../outcome.ts';
import { ACQUIRED_COUNT, DELIVERY_COUNT, HEADER } from '../codec/headers.ts';
import type { Delivery } from '../source.ts';
import { carried, type Kept, keptOf } from './kept.ts';
import { names } from './topology.ts';

/** Everything a settlement other than an ack publishes. */
export interface Republished {
  readonly queue: string;
  readonly properties: Options.Publish;
}

/**
 * Where a message goes and with which headers. Its own properties and headers stay; identity, publish time and deadline
 * are frozen, because the next reader must not work them out anew.
 */
export function republish(
  queue: string,
  delivery: Delivery,
  kept: Kept,
  settlement: Exclude<Settlement, { kind: 'ack' }>,
  instance: string,
  times: { readonly wall: number; readonly deadline: number },
): Republished {
  const headers: Record<string, unknown> = {
    ...kept.headers,
    [HEADER.identity]: delivery.identity,
    [HEADER.by]: instance,
  };
  delete headers[HEADER.notBefore];
  // What was counted of this copy says nothing of the next.
  for (const count of [DELIVERY_COUNT, ACQUIRED_COUNT, HEADER.returns]) delete headers[count];
  // A publisher may have been told to drop messages late or to route copies; neither is for a republished one.
  delete headers['CC'];
  delete headers['BCC'];
  if (delivery.malformed === undefined) {
    headers[HEADER.orderId] = delivery.orderId;
    headers[HEADER.merchantId] = delivery.merchantId;
    headers[HEADER.publishedAt] = delivery.publishedAt;
    headers[HEADER.deadline] = Math.round(times.deadline);
  }
  if (settlement.possiblySent === true) headers[HEADER.possiblySent] = true;
  switch (settlement.kind) {
    case 'retry':
    case 'defer': {
      headers[HEADER.hop] = delivery.hop + 1;
      headers[HEADER.attempt] = settlement.kind === 'retry' ? settlement.attempt : delivery.attempt;
      headers[HEADER.crashes] = settlement.kind === 'retry' ? settlement.crashes : delivery.crashes;
      headers[HEADER.confirmFirst] = settlement.confirmFirst;
      headers[HEADER.reason] = brief(settlement.reason);
      if (settlement.kind === 'defer' && settlement.returns > 0) headers[HEADER.returns] = settlement.returns;
      if (settlement.notBefore !== undefined) headers[HEADER.notBefore] = Math.round(settlement.notBefore);
      return { queue: names.rung(queue, settlement.delayMs), properties: carried(kept, headers) };
    }
    case 'dead-letter':
    case 'park': {
      // A copy of its own: whoever moves it back to the queue must not be told that it was settled already.
      headers[HEADER.hop] = delivery.hop + 1;
      headers[HEADER.ends] = delivery.ends + 1;
      headers[HEADER.attempt] = delivery.attempt;
      headers[HEADER.reason] = settlement.kind === 'park' ? 'ambiguous' : settlement.reason;
      headers[HEADER.detail] = brief(settlement.detail);
      headers[HEADER.endedAt] = times.wall;
      const target = settlement.kind === 'park' ? names.ambiguous(queue) : names.dead(queue);
      return { queue: target, properties: carried(kept, headers) };
    }
  }
}

/** Of what a message must not take along: what the broker counts, and what was of its last life alone. */
const LEFT_BEHIND = [
  HEADER.attempt,
  HEADER.crashes,
  HEADER.notBefore,
  HEADER.publishId,
  HEADER.returns,
  DELIVERY_COUNT,
  ACQUIRED_COUNT,
  'CC',
  'BCC',
];

/**
 * A dead letter's copy on its way back to the queue. Identity, publish time and why it died stay in its headers; attempts
 * begin anew and so does the deadline, which has mostly passed. The hop is raised by exactly one: replayed a second time
 * because the first replay was interrupted, it is the same copy again, and the worker's ledger joins the two.
 */
export function replayed(
  from: string,
  letter: DeadLetter,
  properties: MessageProperties,
  instance: string,
  replay: { readonly wall: number; readonly deadline: number; readonly why: string; readonly isParked: boolean },
): Options.Publish {
  const headers: Record<string, unknown> = { ...properties.headers };
  for (const name of LEFT_BEHIND) delete headers[name];
  if (letter.identity !== '') headers[HEADER.identity] = letter.identity;
  headers[HEADER.hop] = letter.hop + 1;
  headers[HEADER.by] = instance;
  headers[HEADER.deadline] = replay.deadline;
  headers[HEADER.replayedAt] = replay.wall;
  headers[HEADER.replayedFrom] = from;
  headers[HEADER.replayedWhy] = brief(replay.why);
  // It may have been sent: a handler that can ask the merchant is to ask first.
  if (letter.reason === 'ambiguous') headers[HEADER.confirmFirst] = true;
  // Whoever sends back what was parked has decided about it, which was what it waited for.
  if (replay.isParked) delete headers[HEADER.possiblySent];
  return carried(keptOf(properties), headers);
}
