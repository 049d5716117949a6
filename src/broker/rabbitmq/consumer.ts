import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { messageOf } from '../../errors.ts';
import { AckWindow, type Unacked } from './acks.ts';
import { CALL_LIMIT_MS, within } from './within.ts';

/** A delivery that the consumer has handed out: what it needs to know of it again. */
export interface Held extends Unacked {
  readonly epoch: number;
  readonly bytes: number;
}

export interface ConsumerOptions {
  readonly queue: string;
  readonly prefetch: number;
  readonly windowBytes: number;
  /** The most that a message may have before anything is known of their sizes. */
  readonly maxMessageBytes: number;
  readonly tag: string;
}

export interface ConsumerEvents {
  /** Turns a message into what is held; called once a delivery, before it is counted. */
  received(message: ConsumeMessage, epoch: number): Held;
  /** Called after it was counted. */
  delivered(held: Held): void;
  /** The channel of this epoch cannot be used any more. */
  failed(epoch: number, why: string): void;
}

interface Live {
  readonly epoch: number;
  readonly channel: Channel;
  readonly acks: AckWindow;
  /** What the consumer was started with; AMQP applies a prefetch to consumers that start after it. */
  prefetch: number;
  tag: string;
  /** Whether the broker is sending; changing means that a cancel or a consume is under way. */
  consuming: 'yes' | 'no' | 'changing';
  /** The change that is under way, or the last one. Never rejects. */
  changed: Promise<void>;
  unsettled: number;
  bytes: number;
}

/**
 * The consuming channel and its window. The broker bounds the window in messages only; in bytes we do, with a prefetch
 * that suits the size of the messages (the largest allowed, until some came), and by cancelling the consumer when the
 * window is full all the same and starting it again when a quarter of it is free. Large messages after many small ones
 * can exceed it by what the broker has sent by then.
 */
export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #events: ConsumerEvents;
  #live: Live | undefined;
  #stopping = false;
  #started = 0;
  /** Smoothed size of messages, in bytes; the largest allowed until one came. */
  #meanBytes: number;
  #seen = 0;

  constructor(options: ConsumerOptions, events: ConsumerEvents) {
    this.#options = options;
    this.#meanBytes = options.maxMessageBytes;
    this.#events = events;
  }

  async open(connection: ChannelModel, epoch: number): Promise<void> {
    const channel = await within(CALL_LIMIT_MS, 'a channel', connection.createChannel());
    let why = 'the channel closed';
    channel.on('error', (error: Error) => {
      why = messageOf(error);
    });
    // In a microtask: when the whole connection is gone, its own reason is told first.
    channel.on('close', () => queueMicrotask(() => this.#events.failed(epoch, why)));
    channel.on('handler-error', (error: Error) => this.#events.failed(epoch, messageOf(error)));
    // Internals of amqplib, pinned: the channel's number, and the socket below the stream that paces single frames.
    const { ch, connection: wire } = channel as unknown as {
      ch: number;
      connection: { sendBytes(bytes: Buffer): void };
    };
    const acks = new AckWindow(ch, (frames) => {
      if (this.#live?.epoch === epoch) wire.sendBytes(frames);
    });
    const live: Live = {
      epoch,
      channel,
      acks,
      prefetch: this.#options.prefetch,
      tag: '',
      consuming: 'no',
      changed: Promise.resolve(),
      unsettled: 0,
      bytes: 0,
    };
    this.#live = live;
    if (this.#stopping) return;
    const begun = this.#consume(live, this.#fit());
    live.changed = begun.catch(() => undefined); // whoever opens hears it
    await begun;
  }

  closed(epoch: number): void {
    if (this.#live?.epoch === epoch) this.#live = undefined;
  }

  get unsettled(): number {
    return this.#live?.unsettled ?? 0;
  }

  get unsettledBytes(): number {
    return this.#live?.bytes ?? 0;
  }

  isCurrent(epoch: number): boolean {
    return this.#live?.epoch === epoch;
  }

  /** Acknowledges at the end of this turn; false when the delivery's channel is gone. */
  ack(held: Held): boolean {
    const live = this.#live;
    if (live === undefined || live.epoch !== held.epoch) return false;
    live.acks.ack(held);
    live.unsettled--;
    live.bytes -= held.bytes;
    if (live.prefetch !== this.#options.prefetch || live.consuming === 'no') this.#tune(live);
    return true;
  }

  /** Takes no more; resolves when the broker has sent its last. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const live = this.#live;
    await live?.changed;
    if (live?.consuming === 'yes') await this.#cancel(live);
  }

  /** Writes what is due now, before the connection ends. */
  flush(): void {
    this.#live?.acks.flush();
  }

  async #consume(live: Live, prefetch: number): Promise<void> {
    live.consuming = 'changing';
    live.prefetch = prefetch;
    // Never twice the same: with unsettled deliveries of the last one under its tag, RabbitMQ 3.10 ends the connection.
    live.tag = `${this.#options.tag}-${++this.#started}`;
    await within(CALL_LIMIT_MS, 'basic.qos', live.channel.prefetch(prefetch));
    const on = (message: ConsumeMessage | null): void => this.#onMessage(live, message);
    await within(
      CALL_LIMIT_MS,
      'basic.consume',
      live.channel.consume(this.#options.queue, on, { consumerTag: live.tag }),
    );
    live.consuming = 'yes';
  }

  async #cancel(live: Live): Promise<void> {
    live.consuming = 'changing';
    await within(CALL_LIMIT_MS, 'basic.cancel', live.channel.cancel(live.tag));
    live.consuming = 'no';
  }

  #onMessage(live: Live, message: ConsumeMessage | null): void {
    if (message === null) {
      this.#events.failed(live.epoch, 'the broker cancelled the consumer (was the queue deleted?)');
      return;
    }
    const held = this.#events.received(message, live.epoch);
    live.acks.add(held);
    live.unsettled++;
    live.bytes += held.bytes;
    this.#meanBytes += (held.bytes - this.#meanBytes) * Math.max(0.05, 1 / ++this.#seen);
    this.#events.delivered(held);
    if (live.bytes > this.#options.windowBytes && live.consuming === 'yes') {
      this.#change(live, () => this.#cancel(live));
    } else if (live.prefetch !== this.#options.prefetch) this.#tune(live);
  }

  #tune(live: Live): void {
    if (this.#stopping || live.consuming === 'changing') return;
    const { windowBytes } = this.#options;
    if (live.consuming === 'no') {
      if (live.bytes > windowBytes * 0.75) return;
      this.#change(live, () => this.#consume(live, this.#fit()));
    } else if (live.prefetch < this.#fit()) {
      // The large messages are through: nearly nothing is left, or all that the small prefetch lets in takes little room.
      const full = live.unsettled + 1 >= live.prefetch;
      if (live.unsettled > 1 && !(full && live.bytes < windowBytes / 2)) return;
      this.#change(live, async () => {
        await this.#cancel(live);
        if (!this.#stopping) await this.#consume(live, Math.min(this.#fit(), live.prefetch * 4));
      });
    }
  }

  /** As many as fit in the window, by the size of those that came lately. */
  #fit(): number {
    const { prefetch, windowBytes } = this.#options;
    return Math.max(1, Math.min(prefetch, Math.floor(windowBytes / Math.max(1, this.#meanBytes))));
  }

  #change(live: Live, change: () => Promise<void>): void {
    live.changed = change().then(
      () => {
        // In the meantime all may have been settled, or all that the prefetch allows may have come.
        if (live.consuming === 'no' || live.unsettled > 1) this.#tune(live);
      },
      (error: unknown) => this.#events.failed(live.epoch, messageOf(error)),
    );
  }
}
