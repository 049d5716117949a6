import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { messageOf } from '../../errors.ts';
import { HEADER, numberHeader } from '../codec/headers.ts';
import { within } from './within.ts';

/** A message that the walk holds; names it when it is to be acknowledged. */
export interface Held {
  readonly page: Page;
  readonly tag: number;
}

interface Page {
  readonly channel: Channel;
  /** Its consumer is at work; acks wait, because each would let a further message come. */
  filling: boolean;
  isOpen: boolean;
  readonly due: number[];
}

/**
 * A page's bodies together. The broker reads a whole page into its memory, several times over until it has collected its garbage:
 * with 16 MiB it passed 512 MB for 100,000 messages of 1 KB, and stopped all publishers (seen with 3.10).
 */
const PAGE_BYTES = 2 * 2 ** 20;
const MAX_PAGE = 20_000;
/** Of a large queue the pages are larger. */
const MAX_PAGES = 1000;
/** No faster than this, so that the broker's processes come to collect it. */
const BYTES_PER_MS = (16 * 2 ** 20) / 1000;
/** Nothing is known of sizes yet. */
const FIRST_PAGE = 16;
const QUIET_MS = 1000;
/** A queue that reads 100,000 messages from disk answers nothing else meanwhile. */
const BUSY_LIMIT_MS = 120_000;
/** RabbitMQ asks a quorum queue for its counts for 250 ms, and then answers that there is nothing (seen with 3.10). */
const UNSURE_MS = 200;
/** How long whoever held messages before us may take to let go of them. */
const OTHERS_LIMIT_MS = 30_000;
const RETURN_MS = 50;
/**
 * A channel passes on 32 acks to a quorum queue and keeps the rest until those are done; what it keeps when it is closed is lost
 * (seen with 3.10: of 100 acks before a close, 33 counted). So they go a few at a time, and are given time to arrive.
 */
const ACKS_AT_ONCE = 32;
const ACK_EVERY_MS = 4;
const ACKS_ARRIVE_MS = 500;

/**
 * Goes through a queue from its head to its end, holding every message until it is given back or acknowledged. It keeps
 * none of them here: what the broker holds unacknowledged is an index entry each.
 *
 * A quorum queue without a delivery limit puts what a nack requeues at its back, and what a closed channel held at the back of
 * what was returned before, which goes ahead of what never left (seen with 3.10). So a walk goes to the end, nothing is ever
 * nacked, and channels are closed oldest first: then all stand as they stood. The messages come in pages, each on a
 * channel of its own, because a prefetch is the only bound on what the broker sends, and consumers' order within one
 * channel is nobody's promise.
 */
export class QueueWalk {
  readonly #connection: ChannelModel;
  readonly #queue: string;
  readonly #pages: Page[] = [];
  readonly #lost = Promise.withResolvers<never>();
  readonly #stop = Promise.withResolvers<void>();
  /** amqplib tells nobody who closes a channel that its connection has ended meanwhile. */
  readonly #gone = Promise.withResolvers<never>();
  readonly #onGone = (): void => this.#gone.reject(new Error('the connection closed'));
  #control: Channel | undefined;
  #stopped = false;
  #over = false;
  /** Messages seen so far. */
  seen = 0;
  /** How many there were at the start. */
  expected = 0;
  /** Somebody else consumes from the queue, and not all of it is seen. */
  isShared = false;
  /** How many more are there, when all is given back, than should be: new ones, or acks that have come to nothing. */
  surplus = 0;
  #acked = 0;
  /** Acks are to be written soon. */
  #acking = false;
  #bytes = 0;

  constructor(connection: ChannelModel, queue: string) {
    this.#connection = connection;
    this.#queue = queue;
    this.lost.catch(() => undefined); // whoever waits for something else still hears it there
    this.#gone.promise.catch(() => undefined);
    connection.once('close', this.#onGone);
  }

  /** Rejects when the broker takes back what the walk holds: its connection or one of its channels is gone. */
  get lost(): Promise<never> {
    return this.#lost.promise;
  }

  /**
   * Shows every message once, oldest first. Ends at the end of the queue, or behind what was there at the start as soon as
   * messages are newer than that.
   */
  async run(visit: (message: ConsumeMessage, held: Held) => void): Promise<void> {
    const startedAt = Date.now();
    const begun = performance.now();
    let newest = 0;
    const see = (message: ConsumeMessage, held: Held): void => {
      this.seen++;
      this.#bytes += message.content.length;
      newest = Math.max(newest, numberHeader(message.properties.headers ?? {}, HEADER.endedAt) ?? 0);
      visit(message, held);
    };
    const control = await this.#channel();
    this.#control = control;
    this.isShared = !(await this.#nobodyHolds(control, () => !this.#stopped));
    while (!this.#stopped) {
      const { ready } = await this.#counts(control);
      if (this.expected === 0) this.expected = ready;
      if (this.seen > 0 && this.seen >= this.expected && newest > startedAt) return;
      if (ready === 0) {
        if (!(await this.#one(see))) return;
        continue;
      }
      await this.#page(Math.min(ready, this.#pageSize(), MAX_PAGE), see);
      const earlyMs = begun + this.#bytes / BYTES_PER_MS - performance.now();
      if (earlyMs > 0) await Promise.race([sleep(earlyMs), this.#stop.promise, this.lost]);
    }
  }

  /** Sees no more; `run` ends. */
  stop(): void {
    this.#stopped = true;
    this.#stop.resolve();
  }

  /** Takes a message out of the queue for good; false when the broker has taken it back already. */
  ack({ page, tag }: Held): boolean {
    if (!page.isOpen) return false;
    page.due.push(tag);
    if (!this.#acking) setTimeout(() => this.#writeAcks(), ACK_EVERY_MS);
    this.#acking = true;
    return true;
  }

  /** Gives back what was not acknowledged, each to its place; true if all acks before it have arrived. */
  async giveBack(): Promise<boolean> {
    this.#over = true;
    let isSure = true;
    try {
      while (this.#pages.some(isDue)) await sleep(ACK_EVERY_MS);
      if (this.#acked > 0) await sleep(ACKS_ARRIVE_MS);
      for (const page of this.#pages) {
        if (page.isOpen) {
          page.isOpen = false;
          await this.#close(page.channel);
        } else isSure = false;
      }
      if (this.#control === undefined) return isSure;
      // A channel is closed before the queue knows of it: whoever comes next is to find the queue whole.
      if (!this.isShared) await this.#nobodyHolds(this.#control, () => true);
      this.surplus = (await this.#counts(this.#control)).ready - (this.seen - this.#acked);
      await this.#close(this.#control);
      return isSure;
    } catch {
      return false; // the connection is gone, and gave all back
    } finally {
      this.#connection.off('close', this.#onGone);
    }
  }

  #close(channel: Channel): Promise<void> {
    return Promise.race([within(BUSY_LIMIT_MS, 'the close of a channel', channel.close()), this.#gone.promise]);
  }

  #writeAcks(): void {
    for (const page of this.#pages.filter(isDue)) {
      const tags = page.due.splice(0, ACKS_AT_ONCE);
      this.#acked += tags.length;
      // amqplib reads nothing of a message but its tag.
      for (const tag of tags) page.channel.ack({ fields: { deliveryTag: tag } } as ConsumeMessage);
    }
    this.#acking = this.#pages.some((page) => page.isOpen && page.due.length > 0);
    if (this.#acking) setTimeout(() => this.#writeAcks(), ACK_EVERY_MS);
  }

  #pageSize(): number {
    if (this.seen === 0) return FIRST_PAGE;
    const meanBytes = (this.#bytes + 1) / this.seen;
    // Internals of amqplib, pinned: what the broker allows.
    const { channelMax } = this.#connection.connection as unknown as { channelMax: number };
    const pages = Math.max(1, Math.min(MAX_PAGES, Math.floor(channelMax / 2)));
    return Math.ceil(Math.max(PAGE_BYTES / meanBytes, this.expected / pages));
  }

  /** One page of this many, or of as many as there are. */
  async #page(size: number, see: (message: ConsumeMessage, held: Held) => void): Promise<void> {
    const page = await this.#open();
    const filled = Promise.withResolvers<void>();
    let came = 0;
    const take = (message: ConsumeMessage | null): void => {
      if (message === null) {
        this.#lost.reject(new Error(`the broker cancelled the consumer of queue '${this.#queue}' (was it deleted?)`));
        return;
      }
      see(message, { page, tag: message.fields.deliveryTag });
      if (++came === size) filled.resolve();
    };
    await this.#call('basic.qos', page.channel.prefetch(size));
    const { consumerTag } = await this.#call('basic.consume', page.channel.consume(this.#queue, take));
    const stopped = this.#stop.promise;
    // Somebody else may have taken what was counted.
    for (let before = -1; came < size && !this.#stopped; ) {
      before = came;
      const quiet = sleep(QUIET_MS, undefined);
      await Promise.race([filled.promise, quiet, stopped, this.lost]);
      if (came === before && !(await this.#one(see)) && came === before) break;
    }
    await this.#call('basic.cancel', page.channel.cancel(consumerTag));
    page.filling = false;
  }

  /** A page of one; false when the queue has none left, which a queue's counts do not tell for sure. */
  async #one(see: (message: ConsumeMessage, held: Held) => void): Promise<boolean> {
    const page = await this.#open();
    const message = await this.#call('basic.get', page.channel.get(this.#queue));
    page.filling = false;
    if (message === false) return false;
    see(message as unknown as ConsumeMessage, { page, tag: message.fields.deliveryTag });
    return true;
  }

  async #open(): Promise<Page> {
    const page: Page = { channel: await this.#channel(), filling: true, isOpen: true, due: [] };
    page.channel.on('close', () => {
      page.isOpen = false;
    });
    this.#pages.push(page);
    return page;
  }

  /** What a walk that has just ended, or was killed, held is on its way back: the queue counts it as a consumer until then. */
  async #nobodyHolds(control: Channel, isNeeded: () => boolean): Promise<boolean> {
    const giveUpAt = performance.now() + OTHERS_LIMIT_MS;
    while (isNeeded() && performance.now() < giveUpAt) {
      const { consumers, isSure } = await this.#counts(control);
      if (isSure && consumers === 0) return true;
      await Promise.race([sleep(RETURN_MS), this.lost]);
    }
    return !isNeeded();
  }

  async #counts(control: Channel): Promise<{ ready: number; consumers: number; isSure: boolean }> {
    const asked = performance.now();
    const { messageCount, consumerCount } = await this.#call('the counts', control.checkQueue(this.#queue));
    const isSure = messageCount > 0 || consumerCount > 0 || performance.now() - asked < UNSURE_MS;
    return { ready: messageCount, consumers: consumerCount, isSure };
  }

  async #channel(): Promise<Channel> {
    const channel = await this.#call('a channel', this.#connection.createChannel());
    let why = 'a channel closed';
    channel.on('error', (error: Error) => {
      why = messageOf(error);
    });
    channel.on('close', () => {
      if (!this.#over) this.#lost.reject(new Error(why));
    });
    return channel;
  }

  #call<T>(what: string, call: Promise<T>): Promise<T> {
    return Promise.race([within(BUSY_LIMIT_MS, what, call), this.lost, this.#gone.promise]);
  }
}

/** Has acks that may be written now. */
function isDue(page: Page): boolean {
  return page.isOpen && !page.filling && page.due.length > 0;
}
