import { type ConfirmChannel, IllegalOperationError } from 'amqplib';
import { type Clock, systemClock } from '../clock.ts';
import { messageOf, OrderlaneError } from '../errors.ts';
import { brief } from '../outcome.ts';
import { exponential, type Random } from './random.ts';

/** A message to publish. */
export interface Publication {
  /** Message identity: the same when it is published again. */
  readonly messageId: string;
  readonly orderId: string;
  readonly merchantId: string;
  /** When it is due, in whole milliseconds since the epoch. */
  readonly intendedAt: number;
  readonly headers: Readonly<Record<string, string | number>>;
  /** JSON, published as it is. */
  readonly body: Buffer;
}

interface Pending {
  readonly publication: Publication;
  /** It may have left on an earlier channel. */
  sent: boolean;
}

const MAX_UNCONFIRMED = 2000;
const MAX_UNCONFIRMED_BYTES = 64 * 1024 * 1024;

/**
 * Publishes to one queue, persistent, mandatory and confirmed, over whatever channel it is given. What has no confirm when
 * the channel goes is published again on the next one, with the same message ID: a copy more, if the first had arrived.
 * Holds at most 2,000 messages, or 64 MiB, without a confirm; `isFull` then, and the publishing side waits.
 */
export class Publisher {
  readonly #queue: string;
  readonly #confirmed: (publication: Publication) => void;
  #channel: ConfirmChannel | undefined;
  readonly #unconfirmed = new Map<string, Pending>();
  readonly #returned = new Set<string>();
  #bytes = 0;
  #choked = false;
  #closed = false;
  #failure: OrderlaneError | undefined;
  #change: PromiseWithResolvers<void> | undefined;
  /** Messages published, each once. */
  published = 0;
  /** The queue has them, durably. */
  confirmed = 0;
  /** There was no such queue. */
  returned = 0;
  /** The broker answered with a nack. */
  refused = 0;
  /** Published once more because a connection was lost before the confirm. */
  republished = 0;

  /** `confirmed` hears of each message that the queue has. */
  constructor(queue: string, confirmed: (publication: Publication) => void) {
    this.#queue = queue;
    this.#confirmed = confirmed;
  }

  get isFull(): boolean {
    return (
      this.#channel === undefined ||
      this.#choked ||
      this.#unconfirmed.size >= MAX_UNCONFIRMED ||
      this.#bytes >= MAX_UNCONFIRMED_BYTES
    );
  }

  get isAttached(): boolean {
    return this.#channel !== undefined;
  }

  /** What the broker has not answered for, oldest first. */
  get unconfirmed(): readonly Publication[] {
    return Array.from(this.#unconfirmed.values(), ({ publication }) => publication);
  }

  /** How much the broker has answered for. */
  get answered(): number {
    return this.confirmed + this.returned + this.refused;
  }

  attach(channel: ConfirmChannel): void {
    this.#channel = channel;
    this.#choked = false;
    this.#returned.clear();
    channel.on('return', ({ properties }) => this.#returned.add(String(properties.messageId)));
    channel.on('drain', () => {
      this.#choked = false;
      this.#changed();
    });
    for (const pending of this.#unconfirmed.values()) {
      if (pending.sent) this.republished++;
      this.#send(channel, pending);
    }
    this.#changed();
  }

  detach(): void {
    this.#channel = undefined;
  }

  /** Ends it: everything that waits, or comes, rejects with this. */
  fail(error: OrderlaneError): void {
    this.#failure ??= error;
    this.#changed();
  }

  /** Lets go of whoever waits for room: nothing more is to be published. */
  close(): void {
    this.#closed = true;
    this.#changed();
  }

  /** True when there is room for one more; false once it is closed. */
  async ready(): Promise<boolean> {
    while (this.isFull && this.#failure === undefined && !this.#closed) await this.#nextChange();
    if (this.#failure !== undefined) throw this.#failure;
    return !this.#closed;
  }

  publish(publication: Publication): void {
    if (this.#failure !== undefined) throw this.#failure;
    const pending = { publication, sent: false };
    this.#unconfirmed.set(publication.messageId, pending);
    if (this.#channel !== undefined) this.#send(this.#channel, pending);
    this.published++;
    this.#bytes += publication.body.length;
  }

  /** Whether the broker has answered for everything; false once it has answered for nothing for `patienceMs`. */
  async settled(patienceMs: number): Promise<boolean> {
    while (this.#unconfirmed.size > 0) {
      if (this.#failure !== undefined) throw this.#failure;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<true>((resolve) => {
        timer = setTimeout(resolve, patienceMs, true);
      });
      const timedOut = await Promise.race([this.#nextChange(), late]);
      clearTimeout(timer);
      if (timedOut === true) return false;
    }
    return true;
  }

  #send(channel: ConfirmChannel, pending: Pending): void {
    const { publication } = pending;
    const options = {
      persistent: true,
      mandatory: true,
      contentType: 'application/json',
      messageId: publication.messageId,
      timestamp: Math.floor(publication.intendedAt / 1000),
      headers: publication.headers,
    };
    try {
      const answered = (error: Error | null): void => this.#answered(channel, publication, error);
      if (!channel.publish('', this.#queue, publication.body, options, answered)) this.#choked = true;
      pending.sent = true;
    } catch (error) {
      // A channel that has closed, which nobody has told yet: the message goes again on the next one.
      if (error instanceof IllegalOperationError) return;
      this.#unconfirmed.delete(publication.messageId);
      const what = `order ${brief(publication.orderId, 100)} of merchant ${brief(publication.merchantId, 100)}`;
      throw new OrderlaneError('FATAL', `${what} cannot be published: ${messageOf(error)}`, { cause: error });
    }
  }

  #answered(channel: ConfirmChannel, publication: Publication, error: Error | null): void {
    const { messageId } = publication;
    // A channel that closes fails all its confirms; only a nack is an answer.
    if (channel !== this.#channel || (error !== null && error.message !== 'message nacked')) return;
    if (!this.#unconfirmed.delete(messageId)) return;
    this.#bytes -= publication.body.length;
    // The broker returns an unroutable message first, and then confirms it all the same.
    if (this.#returned.delete(messageId)) this.returned++;
    else if (error !== null) this.refused++;
    else {
      this.confirmed++;
      this.#confirmed(publication);
    }
    this.#changed();
  }

  #nextChange(): Promise<void> {
    this.#change ??= Promise.withResolvers();
    return this.#change.promise;
  }

  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }
}

/**
 * When messages are due. With a rate it is fixed in advance and open-loop: arrivals are a Poisson process, and a publisher
 * that falls behind does not shift it. Without one, each is due when it is asked for.
 */
export class Schedule {
  readonly #clock: Clock;
  readonly #gapMs: number | undefined;
  readonly #random: Random;
  readonly #offsetMs: number;
  #at: number;

  /** `ratePerSecond` undefined for as fast as it goes. It starts now. */
  constructor(ratePerSecond: number | undefined, random: Random, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#gapMs = ratePerSecond === undefined ? undefined : 1000 / ratePerSecond;
    this.#random = random;
    // Steps of the wall clock must not stop or flood the schedule.
    this.#offsetMs = clock.wall() - clock.now();
    this.#at = this.#wall();
  }

  /** When the next message is due, in whole milliseconds since the epoch. */
  next(): number {
    if (this.#gapMs === undefined) return Math.floor(this.#wall());
    this.#at += exponential(this.#random, this.#gapMs);
    return Math.floor(this.#at);
  }

  /** How long to sleep until then, in whole milliseconds, since timers drop fractions; 0 or less when it is due. */
  leftMs(intendedAt: number): number {
    return Math.ceil(intendedAt - this.#wall());
  }

  #wall(): number {
    return this.#clock.now() + this.#offsetMs;
  }
}
