import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ChannelModel, ConsumeMessage, Options } from 'amqplib';
import { topologyOf } from '../../src/broker/rabbitmq/topology.ts';
import type { TestBroker } from './broker.ts';
import { Waiting } from './waiting.ts';

export interface Message extends Options.Publish {
  /** Published as it is, or as JSON. */
  readonly body: Buffer | string | object;
}

/** Publishes to a queue that exists, persistent, and waits until the broker has all of it. */
export async function put(broker: TestBroker, queue: string, ...messages: readonly Message[]): Promise<void> {
  const channel = await (await broker.connect()).createConfirmChannel();
  for (const { body, ...properties } of messages) {
    const content = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    channel.sendToQueue(queue, content, { persistent: true, ...properties });
  }
  await channel.waitForConfirms();
  await channel.close();
}

/**
 * Publishes with Debian's amqp-publish: `rest` is the rest of its command line as a shell reads it, `$3` and on in it being
 * `args`.
 */
export async function putWithTool(broker: TestBroker, queue: string, rest: string, ...args: string[]): Promise<void> {
  const script = `exec amqp-publish --url="$1" -r "$2" ${rest}`;
  await promisify(execFile)('/bin/sh', ['-c', script, 'sh', broker.url, queue, ...args]).catch(
    (error: { code?: unknown }) => {
      if (error.code !== 127) throw error;
      throw new Error(
        'amqp-publish not found. Install it with: sudo apt-get install --no-install-recommends amqp-tools',
      );
    },
  );
}

/** Everything that comes to a queue, taken off it at once. */
export class Collected {
  readonly all: ConsumeMessage[] = [];
  readonly #queue: string;
  readonly #waiting = new Waiting(
    () => `Came: ${this.all.map(({ properties }) => String(properties.messageId)).join(', ')}`,
  );

  private constructor(queue: string) {
    this.#queue = queue;
  }

  /** The queue must exist. */
  static async from(broker: TestBroker, queue: string): Promise<Collected> {
    const collected = new Collected(queue);
    const channel = await (await broker.connect()).createChannel();
    const take = (message: ConsumeMessage | null): void => {
      if (message === null) return;
      channel.ack(message);
      collected.all.push(message);
      collected.#waiting.changed();
    };
    await channel.consume(queue, take);
    return collected;
  }

  /** The first message with this ID. */
  message(id: string): Promise<ConsumeMessage> {
    return this.first(`message ${id}`, ({ properties }) => properties.messageId === id);
  }

  first(what: string, is: (message: ConsumeMessage) => boolean): Promise<ConsumeMessage> {
    return this.#waiting.until(`${what} in ${this.#queue}`, () => this.all.find(is));
  }

  async count(count: number): Promise<readonly ConsumeMessage[]> {
    await this.#waiting.until(`${count} messages in ${this.#queue}`, () => this.all.length >= count);
    return this.all;
  }
}

/** How many messages wait in each of orderlane's queues, those that have none left out. */
export async function backlog(broker: TestBroker, queue: string): Promise<Record<string, number>> {
  const connection: ChannelModel = await broker.connect();
  const channel = await connection.createChannel();
  const { source, others } = topologyOf(queue, broker.version);
  const counts: Record<string, number> = {};
  for (const { name } of [source, ...others]) {
    const { messageCount } = await channel.checkQueue(name);
    if (messageCount > 0) counts[name] = messageCount;
  }
  await channel.close();
  return counts;
}
