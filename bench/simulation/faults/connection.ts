import { EventEmitter } from 'node:events';
import { IllegalOperationError } from 'amqplib';
import { OUTCOMES, type Copy, type Properties, QUEUE, type Receiver, type Session } from './broker.ts';
import { stage } from './stage.ts';
import type { Actor } from './virtual-time.ts';

/** A frame's way takes this long, in milliseconds: usually, and when the network or the broker is busy. */
const [USUAL_MS, LONG_MS] = [1, 40];
const [CONFIRM_MS, LATE_CONFIRM_MS] = [5, 3_000];
const VERSION = '4.1.0';

type Confirm = (error: Error | null) => void;

/** A TCP connection in one direction: frames keep their order, and those after a cut are gone. */
class Direction {
  #last = 0;
  /** What would arrive later is lost. */
  lostAfter: number = Number.POSITIVE_INFINITY;

  send(to: Actor, arrive: () => void): void {
    const { time, dice } = stage();
    const at = Math.max(this.#last, time.now() + dice.delay(USUAL_MS, LONG_MS));
    this.#last = at;
    time.at(
      at,
      () => {
        if (at <= this.lostAfter) arrive();
      },
      to,
    );
  }
}

/** How soon each side notices that a connection is cut, in milliseconds. */
export interface Notice {
  readonly clientMs: number;
  readonly brokerMs: number;
}

/**
 * A connection as amqplib shows it, to the simulated broker: a socket that can be cut at any moment, of which either side may
 * hear much later than the other. Between the cut and its discovery, what is written goes nowhere.
 */
export class SimulatedConnection extends EventEmitter {
  readonly connection: object;
  readonly up: Direction = new Direction();
  readonly down: Direction = new Direction();
  readonly process: Actor;
  readonly channels: SimulatedChannel[] = [];
  #clientOpen = true;
  #brokerOpen = true;

  constructor(process: Actor) {
    super();
    this.process = process;
    this.connection = { serverProperties: { version: VERSION }, stream: { destroy: () => this.#destroy() } };
  }

  get isOpen(): boolean {
    return this.#clientOpen;
  }

  /** Not on its way out, as far as anybody knows. */
  get isWhole(): boolean {
    return this.#clientOpen && this.#brokerOpen && this.up.lostAfter === Number.POSITIVE_INFINITY;
  }

  createChannel(): Promise<SimulatedChannel> {
    return this.#open(false);
  }

  createConfirmChannel(): Promise<SimulatedChannel> {
    return this.#open(true);
  }

  /** Resolves when the broker has taken in all that was written before. */
  close(): Promise<void> {
    if (!this.#clientOpen) return Promise.reject(new IllegalOperationError('Connection closed', ''));
    return new Promise((resolve) => {
      this.up.send(stage().time.outside, () => {
        this.closeAtBroker();
        this.down.send(this.process, () => {
          this.closeAtClient(undefined);
          resolve();
        });
      });
    });
  }

  /** The socket breaks. What is on its way may still arrive, a part of it. */
  cut({ clientMs, brokerMs }: Notice, why = 'Unexpected close'): void {
    const { time, dice } = stage();
    for (const direction of [this.up, this.down]) {
      direction.lostAfter = Math.min(
        direction.lostAfter,
        time.now() + (dice.chance(0.5) ? 0 : dice.between(0, LONG_MS)),
      );
    }
    time.after(brokerMs, () => this.closeAtBroker(), time.outside);
    time.after(clientMs, () => this.closeAtClient(new Error(why)), this.process);
  }

  closeAtBroker(): void {
    if (!this.#brokerOpen) return;
    this.#brokerOpen = false;
    for (const channel of this.channels) channel.session.close();
  }

  /** As amqplib does it: an error first, then the channels, then the connection itself. */
  closeAtClient(error: Error | undefined): void {
    if (!this.#clientOpen) return;
    this.#clientOpen = false;
    if (error !== undefined) this.emit('error', error);
    for (const channel of this.channels) channel.closed();
    this.emit('close', error);
  }

  /** Writes a frame; false when it goes nowhere. */
  toBroker(arrive: () => void): boolean {
    if (!this.#clientOpen || !this.process.alive) return false;
    this.up.send(stage().time.outside, () => {
      if (this.#brokerOpen) arrive();
    });
    return true;
  }

  toClient(arrive: () => void): void {
    if (!this.#brokerOpen) return;
    this.down.send(this.process, () => {
      if (this.#clientOpen) arrive();
    });
  }

  /** amqplib's internals, to which acks are written: frames of 21 bytes, each with its channel. */
  sendBytes(frames: Buffer): void {
    for (let at = 0; at < frames.length; at += 21) {
      const ch = frames.readUInt16BE(at + 1);
      const channel = this.channels.find((each) => each.ch === ch);
      if (channel === undefined) stage().history.found(`an ack for channel ${ch}`);
      else channel.acknowledge(frames.subarray(at, at + 21));
    }
  }

  #open(confirms: boolean): Promise<SimulatedChannel> {
    if (!this.#clientOpen) return Promise.reject(new IllegalOperationError('Connection closed', ''));
    const session = stage().broker.open(this.process);
    const channel = new SimulatedChannel(this, this.channels.length + 1, session);
    this.channels.push(channel);
    if (!this.#brokerOpen) session.close();
    // The topology's channels are many and tell nothing here; the publisher's takes its time.
    if (!confirms) return Promise.resolve(channel);
    return channel.call(() => channel);
  }

  #destroy(): void {
    if (!this.#clientOpen) return;
    this.cut({ clientMs: 0, brokerMs: stage().dice.delay(5, 30_000) });
  }
}

/** A channel, confirming or not, as the product uses it. */
export class SimulatedChannel extends EventEmitter {
  readonly ch: number;
  readonly session: Session;
  /** amqplib's internals. */
  readonly connection: SimulatedConnection;
  /** What this side may still acknowledge. */
  readonly #given = new Map<number, Copy>();
  readonly #unconfirmed = new Map<number, Confirm>();
  /** By consumer tag: tells the product that the broker has ended it. */
  readonly #onCancel = new Map<string, () => void>();
  /** Calls that are not answered yet. */
  readonly #open = new Set<(error: Error) => void>();
  #sequence = 0;
  #isOpen = true;

  constructor(connection: SimulatedConnection, ch: number, session: Session) {
    super();
    this.ch = ch;
    this.session = session;
    this.connection = connection;
  }

  get isConsuming(): boolean {
    return this.#isOpen && this.session.receivers.length > 0;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  prefetch(count: number): Promise<void> {
    return this.call(() => {
      this.session.prefetch = count;
    });
  }

  consume(
    queue: string,
    on: (message: object | null) => void,
    { consumerTag }: { consumerTag: string },
  ): Promise<{ consumerTag: string }> {
    if (queue !== QUEUE) throw new Error(`consumes '${queue}'`);
    const receiver: Receiver = {
      tag: consumerTag,
      prefetch: this.session.prefetch,
      unacked: 0,
      receive: (copy, deliveryTag) => {
        const redelivered = copy.deliveries > 0;
        const count = redelivered ? { 'x-delivery-count': copy.deliveries } : {};
        const properties = { ...copy.properties, headers: { ...copy.properties.headers, ...count } };
        this.connection.toClient(() => {
          if (!this.#isOpen) return;
          this.#given.set(deliveryTag, copy);
          const { history } = stage();
          history.received(copy, this.connection.process);
          on({ fields: { deliveryTag, redelivered, consumerTag }, properties, content: copy.content });
        });
      },
    };
    this.#onCancel.set(consumerTag, () => on(null));
    return this.call(
      () => ({ consumerTag }),
      () => this.session.consume(receiver),
    );
  }

  cancel(consumerTag: string): Promise<void> {
    return this.call(() => this.session.cancel(consumerTag));
  }

  /** The broker ends the consumers, as when their queue is deleted. */
  cancelAtBroker(): void {
    for (const tag of this.session.receivers.map((receiver) => receiver.tag)) {
      this.session.cancel(tag);
      this.connection.toClient(() => {
        if (this.#isOpen) this.#onCancel.get(tag)?.();
      });
    }
  }

  /** The broker closes the channel, as when a consumer held something for too long. */
  closeAtBroker(why: string): void {
    this.session.close();
    this.connection.toClient(() => {
      if (!this.#isOpen) return;
      this.emit('error', new Error(why));
      this.closed();
    });
  }

  publish(exchange: string, key: string, content: Buffer, options: Properties, confirm?: Confirm): boolean {
    if (!this.#isOpen) throw new IllegalOperationError('Channel closed', '');
    if (confirm === undefined) return true; // asks for permission alone, which is given
    const sequence = ++this.#sequence;
    this.#unconfirmed.set(sequence, confirm);
    // What crosses the wire is a copy.
    const properties = { ...options, headers: { ...options.headers } };
    const isEvent = exchange === OUTCOMES;
    this.connection.toBroker(() => {
      const { broker, dice, time, history } = stage();
      if (!this.session.isOpen) return;
      const answer = (error: Error | null): void => {
        time.after(
          dice.delay(CONFIRM_MS, LATE_CONFIRM_MS, 0.03),
          () => this.connection.toClient(() => this.#confirmed(sequence, error)),
          time.outside,
        );
      };
      if (broker.refusals > 0) {
        broker.refusals--;
        answer(new Error('message nacked'));
        return;
      }
      if (isEvent) history.announced(content.toString(), key, broker);
      else if (!broker.store(key, content, properties)) {
        this.connection.toClient(() => this.emit('return', { properties }));
      }
      answer(null);
    });
    if (stage().dice.chance(0.97)) return true;
    stage().time.after(stage().dice.delay(2, 200), () => this.emit('drain'), this.connection.process);
    return false;
  }

  checkQueue(queue: string): Promise<object> {
    const { broker } = stage();
    return Promise.resolve({ queue, messageCount: queue === QUEUE ? broker.ready.length : 0, consumerCount: 1 });
  }

  assertQueue(queue: string): Promise<object> {
    return this.checkQueue(queue);
  }

  checkExchange(): Promise<object> {
    return Promise.resolve({});
  }

  assertExchange(): Promise<object> {
    return Promise.resolve({});
  }

  bindQueue(): Promise<object> {
    return Promise.resolve({});
  }

  close(): Promise<void> {
    this.session.close();
    this.closed();
    return Promise.resolve();
  }

  /** A call and its answer; rejected when the channel is closed by then. */
  call<T>(answer: () => T, then: () => void = () => undefined): Promise<T> {
    if (!this.#isOpen) return Promise.reject(new IllegalOperationError('Channel closed', ''));
    return new Promise((resolve, reject) => {
      this.#open.add(reject);
      this.connection.toBroker(() => {
        if (!this.session.isOpen) return;
        const value = answer();
        this.connection.toClient(() => {
          this.#open.delete(reject);
          resolve(value);
        });
        then();
      });
    });
  }

  closed(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#given.clear();
    for (const reject of this.#open) reject(new Error('Channel ended, no reply will be forthcoming'));
    this.#open.clear();
    const unconfirmed = [...this.#unconfirmed.values()];
    this.#unconfirmed.clear();
    for (const confirm of unconfirmed) confirm(new Error('channel closed'));
    this.emit('close');
  }

  #confirmed(sequence: number, error: Error | null): void {
    const confirm = this.#unconfirmed.get(sequence);
    if (confirm === undefined || !this.#isOpen) return;
    this.#unconfirmed.delete(sequence);
    confirm(error);
  }

  /** Reads a basic.ack frame, and asks at the moment it is written whether that may be. */
  acknowledge(frame: Buffer): void {
    const { history } = stage();
    if (!this.#isOpen) {
      // On a connection that is closed it goes nowhere; a broker that gets it ends the connection (504).
      if (this.connection.isWhole) this.connection.cut({ clientMs: 1, brokerMs: 0 }, 'CHANNEL-ERROR');
      return;
    }
    const tag = frame.readUInt32BE(11) * 2 ** 32 + frame.readUInt32BE(15);
    const multiple = frame[19] === 1;
    const tags = multiple ? [...this.#given.keys()].filter((each) => each <= tag) : [tag];
    for (const each of tags) {
      const copy = this.#given.get(each);
      if (copy === undefined) history.found(`an ack for tag ${each}, which is not in hand`);
      else history.acknowledged(copy);
      this.#given.delete(each);
    }
    this.connection.toBroker(() => {
      if (this.session.isOpen) this.session.ack(tag, multiple);
    });
  }
}
