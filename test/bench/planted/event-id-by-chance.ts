import { type CloudEvent, cloudEvent as real } from '../../../src/broker/codec/cloud-event.ts';

export * from '../../../src/broker/codec/cloud-event.ts';

/** An ID for each event, and not for what it tells. */
export function cloudEvent(...args: Parameters<typeof real>): CloudEvent {
  const event = real(...args);
  const id = Math.random().toString(16).slice(2);
  return { ...event, id, text: event.text.replace(event.id, id) };
}
