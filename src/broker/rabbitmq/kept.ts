import type { MessageProperties, Options } from 'amqplib';

/**
 * The publisher's properties that a message keeps wherever it goes, beside its ID and headers: all but an expiration (the
 * ladder keeps the time) and a user ID (checked on publish).
 */
type Others = Pick<
  MessageProperties,
  'contentType' | 'contentEncoding' | 'correlationId' | 'replyTo' | 'timestamp' | 'type' | 'appId' | 'priority'
>;

/** What must be known of a message for as long as it is in hand, so that it can be published again. */
export interface Kept extends Pick<MessageProperties, 'headers' | 'messageId'> {
  readonly others: Others;
}

/** Those of an earlier message serve for this one, too, when they are alike, as a publisher's mostly are: tens of thousands are kept. */
export function othersOf(properties: MessageProperties, earlier: Others | undefined): Others {
  if (earlier !== undefined && isLike(properties, earlier)) return earlier;
  const { contentType, contentEncoding, correlationId, replyTo, timestamp, type, appId, priority } = properties;
  return { contentType, contentEncoding, correlationId, replyTo, timestamp, type, appId, priority };
}

/** Asked of every message, so name by name. */
function isLike(one: Others, other: Others): boolean {
  return (
    one.contentType === other.contentType &&
    one.contentEncoding === other.contentEncoding &&
    one.correlationId === other.correlationId &&
    one.replyTo === other.replyTo &&
    one.timestamp === other.timestamp &&
    one.type === other.type &&
    one.appId === other.appId &&
    one.priority === other.priority
  );
}

export function keptOf(properties: MessageProperties): Kept {
  const { headers, messageId } = properties;
  return { headers, messageId, others: othersOf(properties, undefined) };
}

/** What is published of it, with these headers. */
export function carried({ messageId, others }: Kept, headers: Record<string, unknown>): Options.Publish {
  const defined = Object.entries({ ...others, messageId }).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(defined), headers };
}
