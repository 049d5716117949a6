import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type { ChannelModel } from 'amqplib';

const amqplib = createRequire(import.meta.resolve('amqplib'));
const { ConfirmChannel } = amqplib('./lib/channel_model.js') as {
  ConfirmChannel: new (connection: object) => EventEmitter & { toClosed(): void };
};
const defs = amqplib('./lib/defs.js') as {
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
};

export interface Sent {
  /** Absent for the default one. */
  readonly exchange?: string;
  readonly queue: string;
  readonly mandatory: boolean;
  readonly persistent: boolean;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

interface Fields {
  readonly exchange: string;
  readonly routingKey: string;
  readonly mandatory: boolean;
}
interface Properties {
  readonly headers: object;
  readonly deliveryMode: number;
}

/**
 * A connection whose one channel is amqplib's own confirm channel, encoding as it does; only the wire below it is made up.
 * The test is the broker: it confirms by delivery tag, from 1.
 */
export class FakeConnection extends EventEmitter {
  readonly sent: Sent[] = [];
  /** What the wire says to the next write. */
  writable = true;
  #channel = this.#fresh();

  createConfirmChannel(): Promise<EventEmitter> {
    this.#channel = this.#fresh();
    return Promise.resolve(this.#channel);
  }

  asModel(): ChannelModel {
    return this as unknown as ChannelModel;
  }

  get bodies(): string {
    return this.sent.map(({ body }) => body).join(' ');
  }

  ack(deliveryTag: number, multiple = false): void {
    this.#channel.emit('ack', { deliveryTag, multiple });
  }

  nack(deliveryTag: number): void {
    this.#channel.emit('nack', { deliveryTag, multiple: false });
  }

  /** Gives a message back that no queue takes; RabbitMQ confirms it afterwards. */
  returnTo(deliveryTag: number): void {
    this.#channel.emit('return', { properties: { headers: this.sent[deliveryTag - 1]?.headers } });
    this.ack(deliveryTag);
  }

  drain(): void {
    this.writable = true;
    this.#channel.emit('drain');
  }

  lose(): void {
    this.#channel.toClosed();
  }

  #fresh(): EventEmitter & { toClosed(): void } {
    return new ConfirmChannel({
      freshChannel: () => 1,
      releaseChannel: () => undefined,
      sendMessage: (
        channel: number,
        _method: number,
        fields: Fields,
        id: number,
        properties: Properties,
        body: Buffer,
      ) => {
        defs.encodeProperties(id, channel, body.length, properties); // throws on what cannot be sent
        const headers: Record<string, unknown> = {};
        for (const name in properties.headers) headers[name] = Reflect.get(properties.headers, name); // inherited ones as well
        const { exchange, routingKey: queue, mandatory } = fields;
        const named = exchange === '' ? {} : { exchange };
        this.sent.push({
          ...named,
          queue,
          mandatory,
          persistent: properties.deliveryMode === 2,
          headers,
          body: String(body),
        });
        return this.writable;
      },
    });
  }
}
