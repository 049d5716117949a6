import type { ChannelModel } from 'amqplib';
import { messageOf, OrderlaneError } from '../../errors.ts';
import { call, declareExchange } from './declare.ts';
import { codeOf, onOwnChannel } from './own-channel.ts';

/**
 * Makes the exchange of the outcome events (`create`) or finds it there (`passive`), and finds out whether this user may
 * publish to it: while he may not, no order could be acknowledged.
 */
export async function prepareOutcomes(
  connection: ChannelModel,
  exchange: string,
  mode: 'create' | 'passive',
): Promise<void> {
  if (mode === 'passive') await requireExchange(connection, exchange);
  await declareExchange(connection, exchange, 'topic');
  const refusal = await refusalToAnnounce(connection, exchange);
  if (refusal === undefined) return;
  throw new OrderlaneError(
    'BROKER_REFUSED',
    `the broker does not permit this user to publish to exchange '${exchange}', as --outcomes needs: ${messageOf(refusal)}`,
    { cause: refusal },
  );
}

/** Publishes what no broker routes: permissions are checked before an expiration that is no number is refused (406). */
export async function refusalToAnnounce(connection: ChannelModel, exchange: string): Promise<unknown> {
  try {
    await onOwnChannel(connection, `a message to exchange '${exchange}'`, async (channel) => {
      channel.publish(exchange, 'orderlane', Buffer.alloc(0), { expiration: 'none' });
      await channel.checkExchange(exchange);
    });
  } catch (error) {
    if (codeOf(error) === 403) return error;
    if (codeOf(error) !== 406) throw error;
  }
  return undefined;
}

async function requireExchange(connection: ChannelModel, exchange: string): Promise<void> {
  try {
    await call(connection, `exchange '${exchange}'`, (channel) => channel.checkExchange(exchange));
  } catch (error) {
    if (codeOf(error) !== 404) throw error;
    throw new OrderlaneError(
      'BROKER_REFUSED',
      `with --declare passive everything must be there, but the broker has no exchange '${exchange}', to which --outcomes publishes. Make it (durable, of type topic), or run once with --declare create.`,
      { cause: error },
    );
  }
}
