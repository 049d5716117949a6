import type { ChannelModel, ConsumeMessage } from 'amqplib';
import type { Clock } from '../../clock.ts';
import { OrderlaneError } from '../../errors.ts';
import { RUNGS_MS } from '../../ladder.ts';
import type { OutcomeEvent, Settlement } from '../../outcome.ts';
import { countHeader, DELIVERY_COUNT } from '../codec/headers.ts';
import { type CodecOptions, JsonCodec } from '../codec/json.ts';
import type { Delivery, Sink, Source, Window } from '../source.ts';
import type { Unacked } from './acks.ts';
import { announce } from './announce.ts';
import { Consumer, type Held, type Subscription } from './consumer.ts';
import { declare } from './declare.ts';
import { type Kept, othersOf } from './kept.ts';
import { type Addresses, Link, type LinkEvents } from './link.ts';
import { inspect, UNSEEN } from './management.ts';
import { prepareOutcomes } from './outcomes-exchange.ts';
import { Publisher } from './publisher.ts';
import { republish } from './republish.ts';
import { names, topologyOf } from './topology.ts';
import { CALL_LIMIT_MS, within } from './within.ts';

export interface RabbitmqOptions extends CodecOptions, Addresses {
  readonly queue: string;
  readonly declare: 'create' | 'passive';
  /** Whether settlements come with events. */
  readonly outcomes: boolean;
  readonly prefetch: number;
  readonly windowBytes: number;
  readonly connectWaitMs: number;
  /** Of RabbitMQ's management API, for what AMQP cannot show. */
  readonly managementUrl?: string;
}

export interface SourceLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

interface RabbitmqDelivery extends Delivery, Held, Kept {
  /** The published bytes of a message that is not text. */
  readonly raw: Buffer | undefined;
}

const FLUSH_LIMIT_MS = 5_000;
const NO_DELIVERY: Unacked | undefined = undefined;

/**
 * RabbitMQ as a source. Two connections, one to consume and one to publish, so that a blocked publisher never stalls
 * acks. A delivery that must go elsewhere is published there, confirmed, and only then acknowledged.
 */
export class RabbitmqSource implements Source {
  readonly #options: RabbitmqOptions;
  readonly #clock: Clock;
  readonly #log: SourceLog;
  readonly #codec: JsonCodec;
  readonly #consumer: Consumer;
  readonly #publisher: Publisher;
  readonly #consuming: Link;
  readonly #publishing: Link;
  #publishConnection: ChannelModel | undefined;
  #sink: Sink | undefined;
  /** Outcome events that are confirmed, and how often one was refused. */
  readonly events: { confirmed: number; refused: number } = { confirmed: 0, refused: 0 };
  /** A connection was lost on which deliveries were under way: what comes back need not be of a process that died. */
  #hasLost = false;
  /** Of the message that came last. */
  #others: Kept['others'] | undefined;
  #warned = false;
  #toldTimes = false;
  #flushed: (() => void) | undefined;

  constructor(options: RabbitmqOptions, log: SourceLog) {
    this.#options = options;
    this.#clock = options.clock;
    this.#log = log;
    this.#codec = new JsonCodec(options);
    this.#consumer = new Consumer(
      {
        queue: options.queue,
        prefetch: options.prefetch,
        windowBytes: options.windowBytes,
        maxMessageBytes: options.maxMessageBytes,
        tag: `orderlane-${options.instance}`,
      },
      {
        received: (message, epoch, subscription) => this.#decode(message, epoch, subscription),
        delivered: (held) => this.#sink?.received(held as RabbitmqDelivery),
        failed: (epoch, why) => this.#consuming.fail(epoch, why),
      },
    );
    this.#publisher = new Publisher(options.instance, {
      failed: (epoch, why) => this.#publishing.fail(epoch, why),
      warn: (fields, message) => log.warn(fields, message),
      info: (fields, message) => log.info(fields, message),
    });
    this.#consuming = new Link(
      'consuming',
      options,
      this.#events(
        (connection, epoch) => this.#openConsumer(connection, epoch),
        (epoch) => {
          this.#hasLost ||= this.#consumer.isCurrent(epoch);
          this.#consumer.closed(epoch);
          this.#sink?.lost(epoch);
        },
      ),
    );
    this.#publishing = new Link(
      'publishing',
      options,
      this.#events(
        async (connection, epoch) => {
          const { queue, declare: mode } = options;
          // Here, because a publish to an exchange that is not there ends this connection and not the other.
          if (options.outcomes) await prepareOutcomes(connection, names.outcomes(queue), mode);
          await this.#publisher.open(connection, epoch);
          this.#publishConnection = connection;
        },
        (epoch) => {
          this.#publishConnection = undefined;
          this.#publisher.closed(epoch);
        },
      ),
    );
  }

  async start(sink: Sink): Promise<void> {
    this.#sink = sink;
    const giveUpAt = this.#clock.now() + this.#options.connectWaitMs;
    await this.#publishing.start(this.#options.connectWaitMs);
    await this.#consuming.start(Math.max(0, giveUpAt - this.#clock.now()));
  }

  settle(delivery: Delivery, settlement: Settlement): 'settled' | 'pending' | 'stale' {
    const held = delivery as RabbitmqDelivery;
    const { event } = settlement;
    if (settlement.kind === 'ack') {
      if (event === undefined) return this.#consumer.ack(held) ? 'settled' : 'stale';
      // The merchant has it, whatever has become of the channel: told now, so that its redelivery need only be acknowledged.
      this.#announce(held, settlement, event);
      return 'pending';
    }
    if (!this.#consumer.isCurrent(held.epoch)) return 'stale';
    // One after the other: nothing is told that has not happened.
    const isTold = event !== undefined && settlement.kind !== 'defer';
    const done = isTold ? (): void => this.#announce(held, settlement, event) : (): void => this.#ended(held);
    const wall = this.#clock.wall();
    const deadline = wall + (held.deadlineAt - this.#clock.now());
    const { queue, instance } = this.#options;
    this.#publisher.publish({
      ...republish(queue, held, held, settlement, instance, { wall, deadline }),
      body: held.raw ?? Buffer.from(held.body, 'utf8'),
      isToBeSent: settlement.kind === 'retry' || settlement.kind === 'defer',
      done,
    });
    return 'pending';
  }

  /** All that had to be durable elsewhere is. */
  #ended(held: RabbitmqDelivery): void {
    this.#consumer.ack(held);
    this.#sink?.settled(held);
    if (this.#publisher.pending === 0) this.#flushed?.();
  }

  #announce(held: RabbitmqDelivery, settlement: Exclude<Settlement, { kind: 'defer' }>, event: OutcomeEvent): void {
    this.#publisher.publish({
      ...announce(this.#options.queue, held, settlement, event),
      done: () => {
        this.events.confirmed++;
        this.#ended(held);
      },
      refused: () => {
        this.events.refused++;
      },
    });
  }

  wantMore(): void {
    this.#consumer.wantMore();
  }

  window(): Window {
    const { unsettled, unsettledBytes, capacity, capacityBytes } = this.#consumer;
    return { unsettled, unsettledBytes, capacity, capacityBytes, isBlocked: this.#publisher.isBlocked };
  }

  /** Orders can be taken and settled. */
  get isConnected(): boolean {
    return this.#consuming.isOpen && this.#publishing.isOpen;
  }

  get reconnects(): number {
    return this.#consuming.reconnects + this.#publishing.reconnects;
  }

  async backlog(): Promise<number> {
    const connection = this.#publishConnection;
    if (connection === undefined) throw new Error('not connected');
    const { queue } = this.#options;
    const channel = await within(CALL_LIMIT_MS, 'a channel', connection.createChannel());
    channel.on('error', () => undefined);
    let messages = 0;
    for (const name of [queue, ...RUNGS_MS.map((rung) => names.rung(queue, rung))]) {
      messages += (await within(CALL_LIMIT_MS, `the count of queue '${name}'`, channel.checkQueue(name))).messageCount;
    }
    await within(CALL_LIMIT_MS, 'the close of a channel', channel.close());
    return messages;
  }

  async stopConsuming(): Promise<void> {
    // A channel that dies here has stopped consuming as well.
    await this.#consumer
      .stop()
      .catch((error: unknown) => this.#log.warn({ err: error }, 'the consumer could not be cancelled'));
  }

  async stop(): Promise<void> {
    if (this.#publisher.pending > 0 && this.#publishing.isOpen) {
      const flushed = new Promise<void>((resolve) => {
        this.#flushed = resolve;
      });
      await within(FLUSH_LIMIT_MS, 'the last confirms', flushed).catch((error: unknown) => {
        this.#log.warn({ err: error, count: this.#publisher.pending }, 'their orders go back to the queue');
      });
    }
    await this.#consumer
      .settle()
      .catch((error: unknown) => this.#log.warn({ err: error }, 'the last acknowledgements may be lost'));
    await Promise.all([this.#consuming.stop(), this.#publishing.stop()]);
  }

  async #openConsumer(connection: ChannelModel, epoch: number): Promise<void> {
    const { queue, declare: mode } = this.#options;
    const { version, warnings } = await declare(connection, queue, mode);
    if (!this.#warned) {
      for (const warning of warnings) this.#log.warn({ queue }, warning);
      this.#log.info({ queue, version }, 'connected to RabbitMQ');
      await this.#inspect(version);
      this.#warned = true;
    }
    await this.#consumer.open(connection, epoch);
  }

  /** What loses orders is refused where we may make queues, and said where others answer for them. */
  async #inspect(version: string): Promise<void> {
    const { queue, managementUrl, declare: mode, urls } = this.#options;
    if (managementUrl === undefined) {
      this.#log.info({ queue }, `not checked, because AMQP does not show them: ${UNSEEN}; --management-url does`);
      return;
    }
    const { unsafe, notes } = await inspect(managementUrl, urls[0] as string, queue, topologyOf(queue, version));
    for (const note of notes) this.#log.warn({ queue }, note);
    if (mode === 'passive') for (const loss of unsafe) this.#log.warn({ queue }, loss);
    else if (unsafe.length > 0) {
      throw new OrderlaneError('BROKER_REFUSED', `orders would be lost on this broker. ${unsafe.join('. ')}.`);
    }
  }

  /** The hot path: one object a delivery, the body converted once, nothing of amqplib's buffers kept. */
  #decode(message: ConsumeMessage, epoch: number, subscription: Subscription): RabbitmqDelivery {
    const decoded = this.#codec.decode(message);
    if (this.#codec.implausibleTimes > 0 && !this.#toldTimes) {
      this.#toldTimes = true;
      this.#log.warn(
        { order: decoded.orderId },
        'times in headers that cannot be true are ignored, here for the first time',
      );
    }
    const { properties } = message;
    this.#others = othersOf(properties, this.#others);
    const delivery: RabbitmqDelivery = {
      epoch,
      tag: message.fields.deliveryTag,
      redelivered: message.fields.redelivered,
      identity: decoded.identity,
      orderId: decoded.orderId,
      merchantId: decoded.merchantId,
      attempt: decoded.attempt,
      hop: decoded.hop,
      ends: decoded.ends,
      crashes: decoded.crashes,
      returns: decoded.returns,
      cameBack: this.#cameBack(message),
      confirmFirst: decoded.confirmFirst,
      possiblySent: decoded.possiblySent,
      body: decoded.body,
      fingerprint: decoded.fingerprint,
      bytes: message.content.length,
      publishedAt: decoded.publishedAt,
      deadlineAt: decoded.deadlineAt,
      notBeforeAt: decoded.notBeforeAt,
      ours: decoded.ours,
      malformed: decoded.malformed,
      headers: properties.headers,
      messageId: properties.messageId,
      others: this.#others,
      raw: decoded.malformed === undefined ? undefined : Buffer.from(message.content),
      subscription,
      before: NO_DELIVERY,
      after: NO_DELIVERY,
    };
    return delivery;
  }

  #cameBack({ fields, properties }: ConsumeMessage): number {
    if (!fields.redelivered || this.#hasLost) return 0;
    return countHeader(properties.headers ?? {}, DELIVERY_COUNT, 1);
  }

  #events(open: LinkEvents['open'], lost: (epoch: number) => void): LinkEvents {
    return {
      open,
      lost,
      warn: (fields, message) => this.#log.warn(fields, message),
      info: (fields, message) => this.#log.info(fields, message),
    };
  }
}
