import type { ChannelModel } from 'amqplib';
import { type Addresses, Link } from '../broker/rabbitmq/link.ts';
import { codeOf, onOwnChannel } from '../broker/rabbitmq/own-channel.ts';
import { sourceQueueArguments } from '../broker/rabbitmq/topology.ts';
import { CALL_LIMIT_MS, within } from '../broker/rabbitmq/within.ts';
import { systemClock } from '../clock.ts';
import { formatDuration } from '../duration.ts';
import { messageOf, OrderlaneError } from '../errors.ts';
import type { Options } from '../options.ts';
import type { Publisher } from '../sim/publisher.ts';

type AddressOptions = Pick<Options, 'broker' | 'brokerCa' | 'brokerCert' | 'brokerKey'>;

/** Where the broker is, and whom to trust there. */
export function addressesOf({
  broker: urls,
  brokerCa: ca,
  brokerCert: cert,
  brokerKey: key,
}: AddressOptions): Addresses {
  return {
    urls,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

type LinkOptions = Pick<
  Options,
  'broker' | 'brokerCa' | 'brokerCert' | 'brokerKey' | 'queue' | 'declare' | 'connectWaitMs'
>;

/**
 * The connection that a publisher publishes over. When it is lost and not back within `connectWaitMs`, the publisher
 * fails; one that comes back and goes again before the broker has answered for anything is not back.
 */
export function publishLink(options: LinkOptions, publisher: Publisher, say: (text: string) => void): Link {
  const { connectWaitMs } = options;
  const told = (fields: object, message: string): void => {
    const { reason } = fields as { reason?: string };
    say(reason === undefined ? message : `${message} (${reason})`);
  };
  let lost: { readonly at: number; readonly answered: number } | undefined;
  let timer: NodeJS.Timeout | undefined;
  return new Link('publish', addressesOf(options), {
    warn: told,
    info: told,
    open: async (connection) => {
      try {
        await prepare(connection, options.queue, options.declare);
      } catch (error) {
        if (error instanceof OrderlaneError) publisher.fail(error);
        throw error;
      }
      const channel = await within(CALL_LIMIT_MS, 'a confirm channel', connection.createConfirmChannel());
      // The connection's own end is told by `lost`; this is the broker's no to what was published.
      channel.on('error', (error: Error) =>
        publisher.fail(
          new OrderlaneError('BROKER_REFUSED', `the broker refuses to publish: ${messageOf(error)}`, { cause: error }),
        ),
      );
      connection.on('blocked', (reason: string) => say(`the broker takes no more messages for now (${reason})`));
      connection.on('unblocked', () => say('the broker takes messages again'));
      publisher.attach(channel);
    },
    lost: (_epoch, why) => {
      publisher.detach();
      const now = systemClock.now();
      if (lost === undefined || publisher.answered > lost.answered) lost = { at: now, answered: publisher.answered };
      const giveUp = (): void => {
        if (publisher.isAttached) return;
        const wait = formatDuration(connectWaitMs);
        publisher.fail(
          new OrderlaneError('FATAL', `the connection to the broker was lost (${why}) and not back within ${wait}`),
        );
      };
      clearTimeout(timer);
      timer = setTimeout(giveUp, lost.at + connectWaitMs - now).unref();
    },
  });
}

/** The queue alone, declared as `work` declares it. */
async function prepare(connection: ChannelModel, queue: string, mode: Options['declare']): Promise<void> {
  const version = String(connection.connection.serverProperties.version);
  try {
    await onOwnChannel(connection, `queue '${queue}'`, (channel) =>
      mode === 'create'
        ? channel.assertQueue(queue, { durable: true, arguments: sourceQueueArguments(version) })
        : channel.checkQueue(queue),
    );
  } catch (error) {
    throw refusal(error, queue) ?? error;
  }
}

function refusal(error: unknown, queue: string): OrderlaneError | undefined {
  const why = messageOf(error);
  const advice = {
    403: `this user may not use queue '${queue}'`,
    404: `there is no queue '${queue}': expected it to be there with --declare passive; --declare create makes it`,
    405: `queue '${queue}' belongs to another connection`,
    406: `queue '${queue}' is there with other arguments than work would declare it with; --declare passive takes it as it is`,
  }[codeOf(error) ?? 0];
  return advice === undefined ? undefined : new OrderlaneError('BROKER_REFUSED', `${advice}. ${why}`, { cause: error });
}
