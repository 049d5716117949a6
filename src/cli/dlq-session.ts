import { randomBytes } from 'node:crypto';
import type { ChannelModel, Options as Amqp } from 'amqplib';
import { openDeadQueue } from '../broker/rabbitmq/dead-queue.ts';
import { Link } from '../broker/rabbitmq/link.ts';
import { Publisher } from '../broker/rabbitmq/publisher.ts';
import { formatDuration } from '../duration.ts';
import { OrderlaneError } from '../errors.ts';
import type { DlqOptions } from './dlq-flags.ts';
import { addressesOf } from './publish-link.ts';

/**
 * The broker, as `dlq` needs it: a connection to walk a queue of dead letters, and another to publish to the queue they came
 * from. Lost connections come back by themselves; one that is not back within `connectWaitMs` ends it.
 */
export class DlqSession {
  /** Names this run in the headers of what it replays. */
  readonly instance: string = `dlq-${randomBytes(4).toString('hex')}`;
  readonly #options: DlqOptions;
  readonly #links: readonly Link[];
  readonly #publisher: Publisher;
  #connection: ChannelModel | undefined;
  #failure: OrderlaneError | undefined;
  #change: PromiseWithResolvers<void> = Promise.withResolvers();

  /** `queue` is where the dead letters are; `publishes` is whether any of them will be replayed. */
  constructor(options: DlqOptions, queue: string, publishes: boolean, say: (text: string) => void) {
    this.#options = options;
    const told = (fields: object, message: string): void => {
      const { reason } = fields as { reason?: string };
      say(reason === undefined ? message : `${message} (${reason})`);
    };
    const publishing: Link = this.#link('dlq publishing', told, {
      open: (connection, epoch) => this.#publisher.open(connection, epoch),
      lost: (epoch) => this.#publisher.closed(epoch),
    });
    const walking = this.#link('dlq', told, {
      open: async (connection) => {
        await openDeadQueue(connection, options.queue, queue, say);
        this.#connection = connection;
        this.#changed();
      },
      lost: () => {
        this.#connection = undefined;
      },
    });
    this.#publisher = new Publisher(this.instance, {
      failed: (epoch, why) => publishing.fail(epoch, why),
      warn: told,
      info: told,
    });
    this.#links = publishes ? [walking, publishing] : [walking];
  }

  async start(): Promise<void> {
    for (const link of this.#links) await link.start(this.#options.connectWaitMs);
  }

  /** The connection to walk on, once there is one; rejects when there will be none. */
  async connection(): Promise<ChannelModel> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#connection !== undefined) return this.#connection;
      await this.#change.promise;
    }
  }

  /** Rejects when a connection is lost for good. */
  async failed(): Promise<never> {
    while (this.#failure === undefined) await this.#change.promise;
    throw this.#failure;
  }

  /** Back to the queue they came from; `done` when it has it durably. */
  publish(body: Buffer, properties: Amqp.Publish, done: () => void): void {
    this.#publisher.publish({ queue: this.#options.queue, body, properties, done });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.stop()));
  }

  #link(
    role: string,
    told: (fields: object, message: string) => void,
    events: { open(connection: ChannelModel, epoch: number): Promise<void>; lost(epoch: number): void },
  ): Link {
    const { connectWaitMs } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    return new Link(role, addressesOf(this.#options), {
      warn: told,
      info: told,
      open: async (connection, epoch) => {
        await events.open(connection, epoch);
        clearTimeout(timer);
        timer = undefined;
      },
      lost: (epoch, why) => {
        events.lost(epoch);
        timer ??= setTimeout(() => {
          const wait = formatDuration(connectWaitMs);
          const text = `the connection to the broker was lost (${why}) and not back within ${wait}; what was not replayed is still there`;
          this.#failure ??= new OrderlaneError('FATAL', text);
          this.#changed();
        }, connectWaitMs).unref();
      },
    });
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}
