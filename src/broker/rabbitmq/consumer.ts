import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { messageOf } from '../../errors.ts';
import { USABLE } from '../../window.ts';
import { type AckWindow, AckWriter, type Unacked } from './acks.ts';
import { CALL_LIMIT_MS, within } from './within.ts';

/** A delivery that the consumer has handed out: what it needs to know of it again. */
export interface Held extends Unacked {
  readonly epoch: number;
  readonly subscription: Subscription;
  readonly bytes: number;
}

/** One consumer, from its start until the last of its deliveries is settled, which may be long after its cancel. */
export interface Subscription {
  readonly tag: string;
  /** Of its channel. */
  readonly acks: AckWindow;
  unsettled: number;
  isCancelled: boolean;
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
  received(message: ConsumeMessage, epoch: number, subscription: Subscription): Held;
  /** Called after it was counted. */
  delivered(held: Held): void;
  /** A channel of this epoch cannot be used any more. */
  failed(epoch: number, why: string): void;
}

/** A channel, with at most one consumer, which has a part of the prefetch. */
interface Part {
  readonly channel: Channel;
  readonly acks: AckWindow;
  subscription: Subscription | undefined;
}

interface Live {
  readonly epoch: number;
  readonly connection: ChannelModel;
  readonly acks: AckWriter;
  readonly parts: Part[];
  /** What its consumers may have unsettled, together, without the cancelled ones; 0 while the window is full. */
  prefetch: number;
  /** Those that are cancelled and have unsettled deliveries. */
  readonly cancelled: Set<Subscription>;
  /** Whether a cancel or a consume is under way. */
  changing: boolean;
  /** The change that is under way, or the last one. Never rejects. */
  changed: Promise<void>;
  /** More was wanted while a change was under way. */
  wanted: boolean;
  unsettled: number;
  bytes: number;
  /** Known from the stop on: the queue's consumers that are not ours. */
  others: number | undefined;
}

/** How long the broker may take to take in the last acks; others may come to consume meanwhile, and are counted too. */
const SETTLE_LIMIT_MS = 1_000;
const UNSETTLED_LIMIT_MS = 100;
const POLL_MS = 5;
/** The most that one channel is given, unless that took more channels than this. */
const PART = 512;
const MOST_PARTS = 64;
const GROWTH = 4;
/** Not for less, but for the last step: each takes a channel or more. */
const LEAST_GROWTH = 5 / 4;
/** What a connection begins with at most, so that several processes that come to a full queue share it. */
const FIRST = 10_000;
/** Weight of one message in the smoothed size. */
const WEIGHT = 1 / 64;

/**
 * The consuming channels and their window. The broker bounds the window in messages only. In bytes we do: we begin with as
 * many as fit if all are as large as allowed, and start further consumers beside the first, each with its own prefetch,
 * when more is wanted and the messages that came show that it will fit. When the window is full all the same, all are
 * cancelled until a quarter is free; large messages after many small ones can exceed it by what the broker has sent by then.
 *
 * Many channels, because RabbitMQ finds an acked delivery by walking those of its channel from the oldest on: with 8,000
 * held back in one channel, an order cost it 365 to 650 us of CPU in place of 60, and in sixteen 80 (seen with 3.10 and 4.0).
 * Together they may have as many as are worth keeping here from a ladder of delays, where each hop costs as much as a delivery.
 * The prefetch is raised to that only when nothing that is here may start, and stays so until the connection ends.
 *
 * And nothing is cancelled but for a full window and to stop: what is on its way when a consumer of a quorum queue is
 * cancelled comes again as redelivered (seen with 3.10), and a redelivered order counts as possibly sent.
 */
export class Consumer {
  /** What deliveries are asked for. */
  readonly capacityBytes: number;
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
    this.capacityBytes = options.windowBytes * USABLE;
    this.#meanBytes = options.maxMessageBytes;
    this.#events = events;
  }

  async open(connection: ChannelModel, epoch: number): Promise<void> {
    const live: Live = {
      epoch,
      connection,
      acks: new AckWriter((frames) => {
        if (this.#live === live) wireOf((live.parts[0] as Part).channel).connection.sendBytes(frames);
      }),
      parts: [],
      prefetch: 0,
      cancelled: new Set(),
      changing: false,
      wanted: false,
      changed: Promise.resolve(),
      unsettled: 0,
      bytes: 0,
      others: undefined,
    };
    await this.#addPart(live);
    this.#live = live;
    if (this.#stopping) return;
    live.changing = true;
    const begun = this.#consume(live, Math.min(FIRST, this.#fit(this.#meanBytes)));
    live.changed = begun.catch(() => undefined); // whoever opens hears it
    await begun;
    this.#onChanged(live);
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

  /** How many it would let come of the size of those that are here, or came last: no more than may come now, if that is not to grow. */
  get capacity(): number {
    const live = this.#live;
    if (live === undefined) return this.#fit(this.#meanBytes);
    const fit = this.#fit(this.#typicalBytes(live));
    return this.#mayGrow(live) ? fit : Math.min(fit, live.prefetch + left(live));
  }

  isCurrent(epoch: number): boolean {
    return this.#live?.epoch === epoch;
  }

  /** Acknowledges at the end of this turn; false when the delivery's channel is gone. */
  ack(held: Held): boolean {
    const live = this.#live;
    if (live === undefined || live.epoch !== held.epoch) return false;
    const { subscription } = held;
    subscription.acks.ack(held);
    if (--subscription.unsettled === 0) live.cancelled.delete(subscription);
    live.unsettled--;
    live.bytes -= held.bytes;
    this.#tune(live);
    return true;
  }

  /** All that is here is in flight or may not start, and there is room for more: lets more come if it fits. */
  wantMore(): void {
    const live = this.#live;
    if (live === undefined || live.prefetch === this.#options.prefetch) return; // as nearly always
    if (live.changing) live.wanted = true;
    else if (live.unsettled - left(live) >= live.prefetch && live.prefetch > 0 && !this.#stopping) this.#grow(live);
  }

  /** Takes no more; resolves when the broker has sent its last. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const live = this.#live;
    await live?.changed;
    if (live === undefined) return;
    // The broker counts a cancelled one, too, until its deliveries are settled.
    const ours = live.cancelled.size + live.parts.filter(({ subscription }) => subscription !== undefined).length;
    try {
      if (ours > 0) live.others = (await this.#consumers(live, CALL_LIMIT_MS)) - ours;
    } finally {
      await this.#cancel(live); // without the count only the last acks are less certain
    }
  }

  /**
   * Writes the acks that are due, before the connection ends, and waits until the queue has taken in all of them. A channel
   * of RabbitMQ passes them on to a quorum queue a few dozen at a time and drops the rest when its connection is closed
   * (seen with 3.10 and 4.0: 600 of 600 came again). A cancelled consumer counts until its deliveries are settled.
   */
  async settle(): Promise<void> {
    const live = this.#live;
    if (live === undefined) return;
    live.acks.flush();
    const { others } = live;
    if (others === undefined) return;
    // With unsettled deliveries it would count for ever.
    const giveUpAt = performance.now() + (live.unsettled === 0 ? SETTLE_LIMIT_MS : UNSETTLED_LIMIT_MS);
    while (performance.now() < giveUpAt && (await this.#consumers(live, SETTLE_LIMIT_MS)) > others) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #addPart(live: Live): Promise<Part> {
    const { epoch } = live;
    const channel = await within(CALL_LIMIT_MS, 'a channel', live.connection.createChannel());
    let why = 'the channel closed';
    channel.on('error', (error: Error) => {
      why = messageOf(error);
    });
    // In a microtask: when the whole connection is gone, its own reason is told first.
    channel.on('close', () => queueMicrotask(() => this.#events.failed(epoch, why)));
    channel.on('handler-error', (error: Error) => this.#events.failed(epoch, messageOf(error)));
    const part: Part = { channel, acks: live.acks.window(wireOf(channel).ch), subscription: undefined };
    live.parts.push(part);
    return part;
  }

  /** Raises what the broker may send to this many. */
  async #consume(live: Live, prefetch: number): Promise<void> {
    const idle = live.parts.filter(({ subscription }) => subscription === undefined);
    const most = Math.max(PART, Math.ceil(this.#options.prefetch / MOST_PARTS));
    let more = prefetch - live.prefetch;
    const started: Promise<void>[] = [];
    for (let left = Math.ceil(more / most); left > 0; left--) {
      const count = Math.ceil(more / left);
      more -= count;
      started.push(this.#startPart(live, idle.pop(), count));
    }
    await Promise.all(started);
    live.prefetch = prefetch;
  }

  async #startPart(live: Live, idle: Part | undefined, prefetch: number): Promise<void> {
    const part = idle ?? (await this.#addPart(live));
    const { channel, acks } = part;
    // Never a tag twice: with unsettled deliveries of the last one under it, RabbitMQ 3.10 ends the connection.
    const consumerTag = `${this.#options.tag}-${++this.#started}`;
    const subscription: Subscription = { tag: consumerTag, acks, unsettled: 0, isCancelled: false };
    await within(CALL_LIMIT_MS, 'basic.qos', channel.prefetch(prefetch)); // of the consumer that is started next
    const on = (message: ConsumeMessage | null): void => this.#onMessage(live, subscription, message);
    await within(CALL_LIMIT_MS, 'basic.consume', channel.consume(this.#options.queue, on, { consumerTag }));
    part.subscription = subscription;
  }

  async #cancel(live: Live): Promise<void> {
    live.prefetch = 0;
    const cancelled: Promise<unknown>[] = [];
    for (const part of live.parts) {
      const { channel, subscription } = part;
      if (subscription === undefined) continue;
      cancelled.push(within(CALL_LIMIT_MS, 'basic.cancel', channel.cancel(subscription.tag)));
      part.subscription = undefined;
      subscription.isCancelled = true;
      if (subscription.unsettled > 0) live.cancelled.add(subscription);
    }
    await Promise.all(cancelled);
  }

  async #consumers(live: Live, limitMs: number): Promise<number> {
    const counting = (live.parts[0] as Part).channel.checkQueue(this.#options.queue);
    return (await within(limitMs, 'the count of consumers', counting)).consumerCount;
  }

  #onMessage(live: Live, subscription: Subscription, message: ConsumeMessage | null): void {
    if (message === null) {
      this.#events.failed(live.epoch, 'the broker cancelled the consumer (was the queue deleted?)');
      return;
    }
    const held = this.#events.received(message, live.epoch, subscription);
    subscription.acks.add(held);
    subscription.unsettled++;
    if (subscription.isCancelled) live.cancelled.add(subscription); // it was on its way
    live.unsettled++;
    live.bytes += held.bytes;
    this.#meanBytes += (held.bytes - this.#meanBytes) * Math.max(WEIGHT, 1 / ++this.#seen);
    this.#events.delivered(held);
    this.#tune(live);
  }

  /** Keeps to the window in bytes. */
  #tune(live: Live): void {
    const { windowBytes } = this.#options;
    if (live.bytes <= windowBytes && live.prefetch > 0) return; // as nearly always
    if (this.#stopping || live.changing) return;
    if (live.prefetch > 0) this.#change(live, () => this.#cancel(live));
    else if (live.bytes <= this.capacityBytes) {
      const free = Math.floor((windowBytes - live.bytes) / Math.max(1, this.#meanBytes));
      // At least one, however large: what hangs here must not keep the others out.
      const fit = Math.min(this.#fit(this.#meanBytes), Math.max(1, free), this.#room(live));
      if (fit > 0) this.#change(live, () => this.#consume(live, fit));
    }
  }

  #grow(live: Live): void {
    if (!this.#mayGrow(live)) return;
    const fit = this.#fitBeside(live);
    this.#change(live, () => this.#consume(live, Math.min(fit, live.prefetch * GROWTH)));
  }

  #mayGrow(live: Live): boolean {
    return this.#fitBeside(live) >= Math.min(this.#options.prefetch, live.prefetch * LEAST_GROWTH);
  }

  /** How many consumers may be given, of the size of those that are here. */
  #fitBeside(live: Live): number {
    return Math.min(this.#fit(this.#typicalBytes(live)) - left(live), this.#room(live));
  }

  /** When what is here takes little room, what came before does not matter. */
  #typicalBytes({ unsettled, bytes }: Live): number {
    return unsettled === 0 ? this.#meanBytes : Math.min(this.#meanBytes, bytes / unsettled);
  }

  /** As many as fit in the window, if they are of this size. */
  #fit(bytes: number): number {
    return Math.max(1, Math.min(this.#options.prefetch, Math.floor(this.capacityBytes / Math.max(1, bytes))));
  }

  /** What consumers may have unsettled beside what is left of cancelled ones, which the broker counts against no prefetch. */
  #room(live: Live): number {
    return this.#options.prefetch - left(live);
  }

  #change(live: Live, change: () => Promise<void>): void {
    live.changing = true;
    live.changed = change().then(
      () => this.#onChanged(live),
      (error: unknown) => this.#events.failed(live.epoch, messageOf(error)),
    );
  }

  /** In the meantime all may have been settled, or all that the broker may send may have come. */
  #onChanged(live: Live): void {
    live.changing = false;
    this.#tune(live);
    if (!live.wanted) return;
    live.wanted = false;
    this.wantMore();
  }
}

/** Unsettled deliveries of consumers that are cancelled. */
function left({ cancelled }: Live): number {
  let count = 0;
  for (const { unsettled } of cancelled) count += unsettled;
  return count;
}

/** Internals of amqplib, pinned: the channel's number, and the socket below the stream that paces single frames. */
function wireOf(channel: Channel): { readonly ch: number; readonly connection: { sendBytes(bytes: Buffer): void } } {
  return channel as unknown as ReturnType<typeof wireOf>;
}
