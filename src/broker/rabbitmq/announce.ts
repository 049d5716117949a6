import type { Options } from 'amqplib';
import type { OutcomeEvent, Settlement } from '../../outcome.ts';
import { CLOUD_EVENT_TYPE, cloudEvent } from '../codec/cloud-event.ts';
import type { Delivery } from '../source.ts';
import { names } from './topology.ts';

/** What AMQP's short strings can hold. */
const MAX_KEY_BYTES = 255;

/** An outcome event on its way to the exchange. */
export interface Announced {
  readonly exchange: string;
  readonly key: string;
  readonly body: Buffer;
  readonly properties: Options.Publish;
}

/** The message that tells what became of an order, or of its attempt. */
export function announce(
  queue: string,
  delivery: Delivery,
  settlement: Exclude<Settlement, { kind: 'defer' }>,
  event: OutcomeEvent,
): Announced {
  const { id, type, time, text } = cloudEvent(queue, delivery, settlement, event);
  return {
    exchange: names.outcomes(queue),
    key: outcomeKey(event.outcome.kind, delivery.merchantId),
    body: Buffer.from(text, 'utf8'),
    properties: {
      contentType: CLOUD_EVENT_TYPE,
      messageId: id,
      type,
      timestamp: Math.floor(time / 1000),
      appId: 'orderlane',
    },
  };
}

/**
 * `<outcome>.<merchant>`; the outcome alone where no merchant is known. Outcomes have no dot, so `*.<merchant>` is one merchant
 * however many dots its ID has. An ID that does not fit is cut, between two characters.
 */
export function outcomeKey(outcome: string, merchantId: string): string {
  if (merchantId === '') return outcome;
  const key = `${outcome}.${merchantId.slice(0, MAX_KEY_BYTES)}`;
  if (key.length * 3 <= MAX_KEY_BYTES) return key; // as nearly always
  const bytes = Buffer.from(key, 'utf8');
  if (bytes.length <= MAX_KEY_BYTES) return key;
  let end = MAX_KEY_BYTES;
  while (((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
