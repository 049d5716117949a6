import type { Channel, ChannelModel } from 'amqplib';
import { CALL_LIMIT_MS, within } from './within.ts';

/** One call on a channel of its own: the broker's refusal closes the channel. Rejects with what the broker says. */
export async function onOwnChannel<T>(
  connection: ChannelModel,
  what: string,
  work: (channel: Channel) => Promise<T>,
): Promise<T> {
  const channel = await within(CALL_LIMIT_MS, 'a channel', connection.createChannel());
  channel.on('error', () => undefined); // the refusal also rejects the call
  const result = await within(CALL_LIMIT_MS, `the declaration of ${what}`, work(channel));
  await within(CALL_LIMIT_MS, 'the close of a channel', channel.close());
  return result;
}

/** AMQP's reply code of a refusal. */
export function codeOf(error: unknown): number | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}
