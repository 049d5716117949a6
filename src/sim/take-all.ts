import { crc32 } from 'node:zlib';
import { type ChannelModel, type ConsumeMessage, connect } from 'amqplib';
import { HEADER } from '../broker/codec/headers.ts';
import { names, topologyOf } from '../broker/rabbitmq/topology.ts';

export interface TakenMessage {
  readonly identity: string;
  readonly merchant: string;
  /** Why it is there, for a dead letter. */
  readonly reason: string;
  /** CRC-32. */
  readonly bodyHash: number;
}

export interface TakenQueues {
  readonly queued: readonly TakenMessage[];
  readonly dead: readonly TakenMessage[];
  readonly ambiguous: readonly TakenMessage[];
}

/** How long nothing must come: messages on their way from the ladder to the queue are in neither for a moment. */
const QUIET_MS = 1_500;

/** Empties those queues of a run that is over that are there, deletes them, and tells what was in them. */
export async function takeAll(broker: string, queue: string): Promise<TakenQueues> {
  const connection = await connect(broker, { noDelay: true });
  connection.on('error', () => undefined); // its calls reject
  const channel = await connection.createChannel();
  const version = String(connection.connection.serverProperties['version']);
  const { source, others, exchange } = topologyOf(queue, version);
  const present = await presentOf(
    connection,
    [source, ...others].map(({ name }) => name),
  );
  const taken = { queued: [] as TakenMessage[], dead: [] as TakenMessage[], ambiguous: [] as TakenMessage[] };
  const quiet = Promise.withResolvers<void>();
  const timer = setTimeout(quiet.resolve, QUIET_MS);
  for (const name of present) {
    const into =
      name === names.dead(queue) ? taken.dead : name === names.ambiguous(queue) ? taken.ambiguous : taken.queued;
    await channel.consume(name, (message) => {
      if (message === null) return;
      timer.refresh();
      into.push(read(message));
      channel.ack(message);
    });
  }
  await quiet.promise;
  for (const name of present) await channel.deleteQueue(name);
  await channel.deleteExchange(exchange);
  await connection.close();
  return taken;
}

/** Asking for one that is not there costs the channel. */
async function presentOf(connection: ChannelModel, queues: readonly string[]): Promise<string[]> {
  const present: string[] = [];
  for (const name of queues) {
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    const isThere = await channel.checkQueue(name).then(
      () => true,
      () => false,
    );
    if (!isThere) continue;
    present.push(name);
    await channel.close();
  }
  return present;
}

function read({ properties, content }: ConsumeMessage): TakenMessage {
  const headers = properties.headers ?? {};
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return {
    identity: text(headers[HEADER.identity]) || text(properties.messageId),
    merchant: text(headers[HEADER.merchantId]),
    reason: text(headers[HEADER.reason]),
    bodyHash: crc32(content),
  };
}
