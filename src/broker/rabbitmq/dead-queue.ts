import type { ChannelModel } from 'amqplib';
import { messageOf, OrderlaneError } from '../../errors.ts';
import { codeOf, onOwnChannel } from './own-channel.ts';
import { topologyOf } from './topology.ts';

/** Two walkers of one queue would each see a part of it. */
const LOCK_WAIT_MS = 5_000;
const LOCK_RETRY_MS = 200;

/**
 * Makes sure that a dead letter queue can be walked: that it is there, that no delivery limit drops what is given back too
 * often, and that nobody else walks it. Makes nothing but the lock, an exclusive queue that goes with the connection.
 */
export async function openDeadQueue(
  connection: ChannelModel,
  source: string,
  dead: string,
  warn: (message: string) => void,
): Promise<void> {
  for (const name of [source, dead]) {
    await onOwnChannel(connection, `queue '${name}'`, (channel) => channel.checkQueue(name)).catch((error: unknown) => {
      if (codeOf(error) !== 404) throw error;
      throw new OrderlaneError(
        'BROKER_REFUSED',
        `there is no queue '${name}'. Expected the queue that work consumes in --queue, and its dead letters beside it.`,
        { cause: error },
      );
    });
  }
  await refuseDeliveryLimit(connection, source, dead);
  await lock(connection, dead, warn);
}

/** Declares it as it was made: a refusal names the argument that differs. */
async function refuseDeliveryLimit(connection: ChannelModel, source: string, dead: string): Promise<void> {
  const version = String(connection.connection.serverProperties['version'] ?? 'unknown');
  const wanted = topologyOf(source, version).others.find(({ name }) => name === dead);
  if (wanted === undefined) throw new Error(`'${dead}' is no queue beside '${source}'`);
  const declared = { durable: true, arguments: wanted.arguments };
  await onOwnChannel(connection, `queue '${dead}'`, (channel) => channel.assertQueue(dead, declared)).catch(
    (error: unknown) => {
      if (codeOf(error) === 403) return; // it may be read and not be declared
      if (codeOf(error) !== 406) throw error;
      if (!messageOf(error).includes('x-delivery-limit')) return; // its type, say: nothing is dropped by that
      throw new OrderlaneError(
        'BROKER_REFUSED',
        `queue '${dead}' has a delivery limit, or RabbitMQ 4's default of 20: expected none, because looking through a queue counts ` +
          'against it and messages over it are dropped. Move them to a queue that orderlane work has made ' +
          `(x-delivery-limit -1 on RabbitMQ 4). ${messageOf(error)}`,
        { cause: error },
      );
    },
  );
}

async function lock(connection: ChannelModel, dead: string, warn: (message: string) => void): Promise<void> {
  const name = `${dead}.lock`;
  const giveUpAt = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      await onOwnChannel(connection, `queue '${name}'`, (channel) =>
        channel.assertQueue(name, { exclusive: true, durable: false, autoDelete: true }),
      );
      return;
    } catch (error) {
      if (codeOf(error) === 403) {
        warn(`this user may not declare queue '${name}': nothing keeps a second orderlane dlq from interfering`);
        return;
      }
      if (codeOf(error) !== 405) throw error;
      if (performance.now() > giveUpAt) {
        throw new OrderlaneError(
          'FATAL',
          `another orderlane dlq is at work on queue '${dead}'. One at a time; after one whose machine died, the broker needs 20 s to notice.`,
          { cause: error },
        );
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
  }
}
