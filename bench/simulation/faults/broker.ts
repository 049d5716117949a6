import { HEADER } from '../../../src/broker/codec/headers.ts';
import type { Actor } from './virtual-time.ts';
import { stage } from './stage.ts';

export const QUEUE = 'orders';
const RUNG = 'orders.retry.';
export const DEAD = 'orders.dead';
export const AMBIGUOUS = 'orders.ambiguous';
export const OUTCOMES = 'orders.outcomes';
/** Carries the message's number, by which the simulation knows it whatever the product makes of it. */
export const NUMBER_HEADER = 'simulated';
/** How late a rung may be; OnLadder takes a burst for at most five seconds late. */
const LADDER_LATE_MS = 400;

export interface Properties {
  readonly messageId?: string;
  readonly timestamp?: number;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** A copy of a message in a queue. */
export interface Copy {
  readonly message: number;
  readonly hop: number;
  readonly attempt: number;
  readonly content: Buffer;
  readonly properties: Properties;
  /** How often it was given out. */
  deliveries: number;
}

export interface Receiver {
  readonly tag: string;
  readonly prefetch: number;
  readonly receive: (copy: Copy, deliveryTag: number) => void;
  unacked: number;
}

/** A channel as the broker sees it. */
export class Session {
  readonly broker: Broker;
  readonly process: Actor;
  readonly unacked: Map<number, { readonly copy: Copy; readonly receiver: Receiver }> = new Map();
  readonly receivers: Receiver[] = [];
  /** Of the consumer that is started next. */
  prefetch = 0;
  isOpen = true;
  #lastTag = 0;

  constructor(broker: Broker, process: Actor) {
    this.broker = broker;
    this.process = process;
  }

  give(copy: Copy, receiver: Receiver): void {
    const tag = ++this.#lastTag;
    this.unacked.set(tag, { copy, receiver });
    receiver.unacked++;
    receiver.receive(copy, tag);
    copy.deliveries++;
  }

  consume(receiver: Receiver): void {
    this.receivers.push(receiver);
    this.broker.pump();
  }

  cancel(tag: string): void {
    const at = this.receivers.findIndex((receiver) => receiver.tag === tag);
    if (at >= 0) this.receivers.splice(at, 1);
  }

  ack(tag: number, multiple: boolean): void {
    const tags = multiple ? [...this.unacked.keys()].filter((each) => each <= tag) : [tag];
    for (const each of tags) {
      const given = this.unacked.get(each);
      if (given === undefined) {
        stage().history.found(`delivery tag ${each} was acknowledged, and is not unacknowledged`);
        return;
      }
      this.unacked.delete(each);
      given.receiver.unacked--;
    }
    this.broker.pump();
  }

  /** All that is unacknowledged comes again, before everything else. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.receivers.length = 0;
    this.broker.forget(this);
    this.broker.requeue([...this.unacked.values()].map(({ copy }) => copy));
    this.unacked.clear();
  }
}

/**
 * RabbitMQ as far as orders can tell: quorum queues that lose nothing they have confirmed, prefetch by consumer, redelivery
 * with a flag, and a ladder whose rungs return to the source queue.
 */
export class Broker {
  readonly dead: Copy[] = [];
  readonly ambiguous: Copy[] = [];
  /** Takes connections. */
  isUp = true;
  /** The queues that are missing for now: what is published to them is returned. */
  readonly missing: Set<string> = new Set();
  /** This many of the next publishes are refused. */
  refusals = 0;
  ready: Copy[] = [];
  readonly ladder: Set<Copy> = new Set();
  readonly sessions: Set<Session> = new Set();
  #turn = 0;

  /** A publisher's message, or one of ours, in the queue of that name; false when there is no such queue. */
  store(queue: string, content: Buffer, properties: Properties): boolean {
    if (this.missing.has(queue)) return false;
    const { headers } = properties;
    const count = (name: string, least: number): number => (headers[name] as number | undefined) ?? least;
    const copy: Copy = {
      message: count(NUMBER_HEADER, 0),
      hop: count(HEADER.hop, 0),
      attempt: count(HEADER.attempt, 1),
      content,
      properties,
      deliveries: 0,
    };
    stage().history.stored(copy, queue);
    if (queue === QUEUE) this.#arrive(copy);
    else if (queue === DEAD) this.dead.push(copy);
    else if (queue === AMBIGUOUS) this.ambiguous.push(copy);
    else if (queue.startsWith(RUNG)) this.#climb(copy, Number(queue.slice(RUNG.length)));
    else return false;
    return true;
  }

  open(process: Actor): Session {
    const session = new Session(this, process);
    this.sessions.add(session);
    return session;
  }

  forget(session: Session): void {
    this.sessions.delete(session);
  }

  requeue(copies: readonly Copy[]): void {
    this.ready.unshift(...copies);
    this.pump();
  }

  /** Gives out what is ready, to consumers in turn. */
  pump(): void {
    for (let given = true; given && this.ready.length > 0; ) {
      given = false;
      const receivers = [...this.sessions].flatMap((session) =>
        session.receivers
          .filter(({ unacked, prefetch }) => unacked < prefetch)
          .map((receiver) => ({ session, receiver })),
      );
      if (receivers.length === 0) return;
      const { session, receiver } = receivers[this.#turn++ % receivers.length] as (typeof receivers)[number];
      session.give(this.ready.shift() as Copy, receiver);
      given = true;
    }
  }

  /** How many copies of a message are to be delivered yet. */
  copiesOf(message: number): number {
    const unacked = [...this.sessions].flatMap((session) => [...session.unacked.values()].map(({ copy }) => copy));
    return [...this.ready, ...this.ladder, ...unacked].filter((copy) => copy.message === message).length;
  }

  get unacked(): number {
    let sum = 0;
    for (const session of this.sessions) sum += session.unacked.size;
    return sum;
  }

  /** Every order has left the queue and the ladder. */
  get isEmpty(): boolean {
    return this.ready.length + this.ladder.size + this.unacked === 0;
  }

  #arrive(copy: Copy): void {
    this.ready.push(copy);
    this.pump();
  }

  #climb(copy: Copy, delayMs: number): void {
    const { time, dice } = stage();
    this.ladder.add(copy);
    time.after(
      delayMs + dice.delay(5, LADDER_LATE_MS),
      () => {
        this.ladder.delete(copy);
        this.#arrive(copy);
      },
      time.outside,
    );
  }
}
