import { type ChannelModel, type ConfirmChannel, IllegalOperationError, type Message, type Options } from 'amqplib';
import { messageOf } from '../../errors.ts';
import { HEADER } from '../codec/headers.ts';
import { CALL_LIMIT_MS, within } from './within.ts';

/** A message on its way, kept until the broker has confirmed it. */
export type Outgoing = Destination & {
  readonly body: Buffer;
  readonly properties: Options.Publish;
  /** An order's next copy, which will be sent: whether there are two of it matters. */
  readonly isToBeSent?: boolean;
  /** The queue has it, or every queue that is bound, durably. */
  done(): void;
  /** The broker did not take it; it is published again. */
  refused?(): void;
};

/** A queue, which must have it, or an exchange, which gives it to whoever is bound, or to nobody. */
type Destination = { readonly queue: string } | { readonly exchange: string; readonly key: string };

export interface PublisherEvents {
  failed(epoch: number, why: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
}

const MAX_UNCONFIRMED = 1000;
const RETRY_MS = 1000;
/** Of an event, doubled with each refusal: all of the window may be refused, by a queue that is full for hours. */
const EVENT_RETRY_MAX_MS = 8000;
/**
 * A channel remembers that a quorum queue with reject-publish is full, and may not hear that it has room again (seen with
 * 3.10 when the limit of an empty queue was lifted): after so many refusals of one message a fresh one is asked.
 */
const MAX_REFUSALS = 15;
/** A message without a confirm for so long is told of: a queue whose leader has no majority says nothing at all. */
const SILENCE_MS = 30_000;

/**
 * Publishes with confirms and `mandatory`, and tries again for as long as the process lives: what it holds is unsettled
 * at the broker and bounded by the window. A confirm does not mean that a queue has the message: when nothing is bound,
 * the message is returned first, and then confirmed.
 */
export class Publisher {
  readonly #events: PublisherEvents;
  readonly #instance: string;
  #channel: ConfirmChannel | undefined;
  #epoch = 0;
  #sequence = 0;
  #blocked = false;
  #full = false;
  #todo: Outgoing[] = [];
  /** Where in it the next message is; what is before has been sent. */
  #next = 0;
  readonly #unconfirmed = new Map<string, Outgoing>();
  readonly #returned = new Set<string>();
  /** How often the broker has refused messages that no queue has yet, on this connection. */
  readonly #refusals = new Map<Outgoing, number>();
  /** Messages that wait to be tried again. */
  #later = 0;
  #warned = false;
  /** Of the message that had waited longest for its confirm when that was last looked at. */
  #oldest: string | undefined;

  constructor(instance: string, events: PublisherEvents) {
    this.#instance = instance;
    this.#events = events;
  }

  /** Messages that no queue has yet. */
  get pending(): number {
    return this.#todo.length - this.#next + this.#unconfirmed.size + this.#later;
  }

  /** The broker has said that it takes no messages for now. */
  get isBlocked(): boolean {
    return this.#blocked;
  }

  async open(connection: ChannelModel, epoch: number): Promise<void> {
    const channel = await within(CALL_LIMIT_MS, 'a confirm channel', connection.createConfirmChannel());
    let why = 'the channel closed';
    channel.on('error', (error: Error) => {
      why = messageOf(error);
    });
    const watch = setInterval(() => this.#watchSilence(), SILENCE_MS).unref();
    channel.on('close', () => {
      clearInterval(watch);
      // In a microtask: when the whole connection is gone, its own reason is told first.
      queueMicrotask(() => this.#events.failed(epoch, why));
    });
    channel.on('return', (message: Message) => {
      const id: unknown = message.properties.headers?.[HEADER.publishId];
      if (typeof id === 'string') this.#returned.add(id);
    });
    channel.on('drain', () => {
      this.#full = false;
      this.#pump();
    });
    connection.on('blocked', (reason: string) => {
      if (epoch !== this.#epoch) return; // the last frames of a connection that is closing
      this.#blocked = true;
      this.#events.warn(
        { reason },
        'the broker takes no more messages for now: retries, dead letters and outcome events wait',
      );
    });
    connection.on('unblocked', () => {
      if (epoch !== this.#epoch) return;
      this.#blocked = false;
      this.#events.info({ count: this.pending }, 'the broker takes messages again');
      this.#pump();
    });
    this.#channel = channel;
    this.#epoch = epoch;
    this.#blocked = false;
    this.#full = false;
    this.#pump();
  }

  /** Everything without a confirm goes again, first. */
  closed(epoch: number): void {
    if (epoch !== this.#epoch) return;
    this.#channel = undefined;
    this.#todo = [...[...this.#unconfirmed.values()].map(onceMore), ...this.#todo.slice(this.#next)];
    this.#next = 0;
    this.#unconfirmed.clear();
    this.#returned.clear();
    this.#refusals.clear();
  }

  publish(message: Outgoing): void {
    this.#todo.push(message);
    this.#pump();
  }

  #pump(): void {
    const channel = this.#channel;
    if (channel === undefined || this.#blocked) return;
    while (this.#next < this.#todo.length && this.#unconfirmed.size < MAX_UNCONFIRMED && !this.#full) {
      const message = this.#todo[this.#next] as Outgoing;
      try {
        this.#send(channel, message);
      } catch (error) {
        if (error instanceof IllegalOperationError) {
          this.#events.failed(this.#epoch, messageOf(error));
          return;
        }
        // Headers of its publisher's that cannot be encoded again; nothing was written. It goes without them.
        this.#events.warn(
          { ...nameOf(message), reason: messageOf(error) },
          'a message loses headers that cannot be republished',
        );
        this.#send(channel, { ...message, properties: bare(message.properties) });
      }
      this.#next++;
    }
    this.#closeUp();
  }

  /** Each confirm makes room for one message more: moving thousands up for each would cost more than all else here. */
  #closeUp(): void {
    if (this.#next < this.#todo.length && (this.#next < 1024 || this.#next * 2 < this.#todo.length)) return;
    this.#todo.splice(0, this.#next);
    this.#next = 0;
  }

  #send(channel: ConfirmChannel, message: Outgoing): void {
    const epoch = this.#epoch;
    const id = `${this.#instance}-${++this.#sequence}`;
    const { properties } = message;
    const [exchange, key] = 'queue' in message ? ['', message.queue] : [message.exchange, message.key];
    const options: Options.Publish =
      exchange === ''
        ? {
            ...properties,
            mandatory: true,
            persistent: true,
            headers: { ...properties.headers, [HEADER.publishId]: id },
          }
        : { ...properties, persistent: true };
    this.#full = !channel.publish(exchange, key, message.body, options, (error: unknown) => {
      // When its channel is gone, `closed` takes it back, or has done so.
      if (epoch !== this.#epoch || isChannelGone(error) || !this.#unconfirmed.delete(id)) return;
      const returned = this.#returned.delete(id);
      if (error === null && !returned) {
        this.#warned = false;
        this.#refusals.delete(message);
        message.done();
      } else {
        this.#tryLater(message, returned ? 'there is no such queue' : 'the broker refused it');
        message.refused?.();
        if (!returned) this.#onRefusal(message);
      }
      this.#pump();
    });
    this.#unconfirmed.set(id, message);
  }

  /** Whoever waits for the confirm is stalled, and in time everybody is: an unanswered publish keeps its place. */
  #watchSilence(): void {
    const [oldest] = this.#unconfirmed;
    const [id, message] = oldest ?? [];
    if (message !== undefined && id === this.#oldest && !this.#blocked) {
      this.#events.warn(
        { ...nameOf(message), unconfirmed: this.#unconfirmed.size, pending: this.pending },
        'the broker has not confirmed a message for 30 s: its order stays unsettled; has the queue a majority of its nodes?',
      );
    }
    this.#oldest = id;
  }

  #onRefusal(message: Outgoing): void {
    const refusals = (this.#refusals.get(message) ?? 0) + 1;
    this.#refusals.set(message, refusals);
    if (refusals === MAX_REFUSALS) this.#events.failed(this.#epoch, `the broker refused a message ${refusals} times`);
  }

  #tryLater(message: Outgoing, reason: string): void {
    if (!this.#warned) {
      this.#warned = true;
      this.#events.warn(
        { ...nameOf(message), reason },
        'could not store a message; its order stays unsettled and it is tried again',
      );
    }
    const refusals = this.#refusals.get(message) ?? 0;
    const delayMs = 'queue' in message ? RETRY_MS : Math.min(RETRY_MS * 2 ** refusals, EVENT_RETRY_MAX_MS);
    this.#later++;
    setTimeout(() => {
      this.#later--;
      this.publish(message);
    }, delayMs).unref(); // what still waits when all else has ended holds up no exit
  }
}

function nameOf(message: Outgoing): { readonly queue: string } | { readonly exchange: string } {
  return 'queue' in message ? { queue: message.queue } : { exchange: message.exchange };
}

/**
 * A copy whose confirm was lost: the broker may have the first one, and when they come to two processes, neither knows of
 * the other. What its merchant must not get twice is then for a person.
 */
function onceMore(message: Outgoing): Outgoing {
  if (message.isToBeSent !== true) return message;
  const { properties } = message;
  return { ...message, properties: { ...properties, headers: { ...properties.headers, [HEADER.possiblySent]: true } } };
}

/** A nack and a lost channel both come as errors. */
function isChannelGone(error: unknown): boolean {
  return error instanceof Error && error.message === 'channel closed';
}

const OURS: ReadonlySet<string> = new Set(Object.values(HEADER));
const MAX_HEADER = 4000;

/** What of a message's properties always can be encoded: our own headers, of a length that fits. */
function bare({ headers = {}, messageId, contentType }: Options.Publish): Options.Publish {
  const kept = Object.entries(headers as Record<string, unknown>).filter(
    ([name, value]) =>
      OURS.has(name) && (typeof value === 'boolean' || Number.isFinite(value) || isShort(value, MAX_HEADER)),
  );
  return {
    headers: Object.fromEntries(kept),
    ...(isShort(messageId, 255) ? { messageId: messageId as string } : {}),
    ...(isShort(contentType, 255) ? { contentType: contentType as string } : {}),
  };
}

function isShort(value: unknown, most: number): boolean {
  return typeof value === 'string' && Buffer.byteLength(value) <= most;
}
