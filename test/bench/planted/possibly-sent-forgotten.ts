import { HEADER } from '../../../src/broker/codec/headers.ts';
import { type Republished, republish as real } from '../../../src/broker/rabbitmq/republish.ts';

export * from '../../../src/broker/rabbitmq/republish.ts';

/** Only the process that made an attempt knows that it may have arrived. */
export function republish(...given: Parameters<typeof real>): Republished {
  const republished = real(...given);
  delete (republished.properties.headers as Record<string, unknown>)[HEADER.possiblySent];
  return republished;
}
