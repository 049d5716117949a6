import { setTimeout as sleep } from 'node:timers/promises';
import { type ConfirmChannel, connect } from 'amqplib';
import { HEADER } from '../src/broker/codec/headers.ts';
import { sourceQueueArguments } from '../src/broker/rabbitmq/topology.ts';
import { generateOrder, merchantName, type PosOrder } from '../src/sim/orders.ts';
import { Schedule } from '../src/sim/publisher.ts';
import { seeded, zipf } from '../src/sim/random.ts';
import type { PrivateBroker } from '../src/sim/broker.ts';
import { TASKS_ARGUMENTS, taskOf, tasksQueue } from './task.ts';

export const QUEUE = 'orders';
/** As many are made before the first is published; more are made on the way. */
const MADE_BEFORE = 20_000;
const UNCONFIRMED = 2000;

export interface Batch {
  readonly orders: number;
  readonly merchants: number;
  /** Zipf's exponent of the merchants' shares. @default 0: equal ones */
  readonly zipf?: number;
  readonly seed: number;
  /** Size of all bodies, in bytes: orders filled up, or IDs alone where an order is larger. @default as generated, about 2.4 KB */
  readonly bytes?: number;
  /** Orders a second, a Poisson process. @default as fast as it goes */
  readonly rate?: number;
}

export interface Published {
  readonly key: string;
  readonly merchant: string;
  /** In milliseconds since the epoch. */
  readonly intendedAt: number;
}

type Connection = Awaited<ReturnType<typeof connect>>;

interface Made extends Omit<Published, 'intendedAt'> {
  readonly body: Buffer;
}

/** Publishes to a scenario's queue, persistent and confirmed: orders for most, Celery tasks with the same orders for Celery. */
export class Inbox {
  readonly #connection: Connection;
  readonly #channel: ConfirmChannel;
  readonly #takesTasks: boolean;
  #unconfirmed = 0;
  #batches = 0;

  private constructor(connection: Connection, channel: ConfirmChannel, takesTasks: boolean) {
    this.#connection = connection;
    this.#channel = channel;
    this.#takesTasks = takesTasks;
  }

  /** Makes the queues, if they are not there. */
  static async open(broker: PrivateBroker, takesTasks: boolean): Promise<Inbox> {
    const connection = await connect(broker.url, { noDelay: true });
    connection.on('error', () => undefined); // its calls reject
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(QUEUE, { durable: true, arguments: sourceQueueArguments(broker.version) });
    if (takesTasks) await channel.assertQueue(tasksQueue(QUEUE), { durable: true, arguments: TASKS_ARGUMENTS });
    return new Inbox(connection, channel, takesTasks);
  }

  /** Resolves when the broker has confirmed all of it, with when its first order was published. */
  async publish(
    batch: Batch,
    onPublished: (order: Published) => void = () => undefined,
  ): Promise<{ readonly begunAt: number }> {
    const orders = made(batch, `b${++this.#batches}`);
    const before: Made[] = [];
    for (let n = Math.min(batch.orders, MADE_BEFORE); n > 0; n--) before.push(orders.next().value as Made);
    const begunAt = Date.now();
    const schedule = new Schedule(batch.rate, seeded(batch.seed + 2 ** 32));
    for (const order of chain(before, orders)) {
      const intendedAt = schedule.next();
      const leftMs = batch.rate === undefined ? 0 : schedule.leftMs(intendedAt);
      if (leftMs > 0) await sleep(leftMs);
      while (this.#unconfirmed >= UNCONFIRMED) await sleep(1);
      this.#send(order, intendedAt);
      onPublished({ key: order.key, merchant: order.merchant, intendedAt });
    }
    await this.#channel.waitForConfirms();
    return { begunAt };
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  #send({ key, merchant, body }: Made, intendedAt: number): void {
    this.#unconfirmed++;
    const answered = (): void => {
      this.#unconfirmed--;
    };
    if (this.#takesTasks) {
      const { content, options } = taskOf(key, merchant, body);
      this.#channel.publish('', tasksQueue(QUEUE), content, options, answered);
      return;
    }
    const headers = {
      [HEADER.merchantId]: merchant,
      [HEADER.orderId]: key,
      [HEADER.publishedAt]: intendedAt,
    };
    const options = { persistent: true, contentType: 'application/json', messageId: key, headers };
    this.#channel.publish('', QUEUE, body, options, answered);
  }
}

/** Equal batches make equal orders for whoever takes them. */
function* made(batch: Batch, ids: string): Generator<Made> {
  const random = seeded(batch.seed);
  const rank = zipf(batch.merchants, batch.zipf ?? 0);
  for (let n = 1; n <= batch.orders; n++) {
    const key = `${ids}-${n}`;
    const merchant = merchantName(rank(random));
    const order = generateOrder(random, { id: key, merchantId: merchant, placedAt: 1_700_000_000_000 });
    yield { key, merchant, body: sized(order, batch.bytes) };
  }
}

function sized(order: PosOrder, bytes: number | undefined): Buffer {
  const whole = Buffer.from(JSON.stringify(order));
  if (bytes === undefined) return whole;
  const kept = whole.length <= bytes ? order : { id: order.id, merchant_id: order.merchant_id };
  const missing = bytes - Buffer.byteLength(JSON.stringify({ ...kept, filler: '' }));
  return Buffer.from(JSON.stringify({ ...kept, filler: 'x'.repeat(Math.max(0, missing)) }));
}

function* chain<T>(first: Iterable<T>, second: Iterable<T>): Generator<T> {
  yield* first;
  yield* second;
}
