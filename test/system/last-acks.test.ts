import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Consumer, type Held } from '../../src/broker/rabbitmq/consumer.ts';
import { sourceQueueArguments } from '../../src/broker/rabbitmq/topology.ts';
import { withBroker } from '../helpers/broker.ts';
import { put } from '../helpers/queues.ts';
import { Waiting } from '../helpers/waiting.ts';

const broker = await withBroker();
const MESSAGES = 600;
const WINDOW_BYTES = 2 ** 20;

test('the queue takes in every ack of the moments before the connection ends', async () => {
  await assertAllTakenIn('');
});

test('the queue takes in the last acks also when the window was full, and its consumers cancelled', async () => {
  await assertAllTakenIn('x'.repeat(WINDOW_BYTES));
});

/** Takes messages, stops, acknowledges all of them and ends the connection; the last message has this in it. */
async function assertAllTakenIn(ballast: string): Promise<void> {
  const queue = broker.queueName();
  const watcher = await (await broker.connect()).createChannel();
  await watcher.assertQueue(queue, { durable: true, arguments: sourceQueueArguments(broker.version) });
  await put(broker, queue, ...Array.from({ length: MESSAGES - 1 }, (_, n) => ({ body: { n } })));
  await put(broker, queue, { body: { ballast } });
  const held: Held[] = [];
  const waiting = new Waiting();
  const consumer = new Consumer(
    { queue, prefetch: 1_000, windowBytes: WINDOW_BYTES, maxMessageBytes: 100, tag: 't' },
    {
      received: ({ content, fields }, epoch, subscription) => ({
        tag: fields.deliveryTag,
        epoch,
        subscription,
        bytes: content.length,
        before: undefined,
        after: undefined,
      }),
      delivered: (each) => {
        held.push(each);
        waiting.changed();
      },
      failed: (_epoch, why) => waiting.over(why),
    },
  );
  const connection = await broker.connect();
  await consumer.open(connection, 1);
  await waiting.until('all messages', () => held.length === MESSAGES);
  await consumer.stop();
  // The oldest last, and when the others have left, so that each is acknowledged by itself.
  for (const each of held.slice(1)) consumer.ack(each);
  await turn();
  consumer.ack(held[0] as Held);
  await consumer.settle();
  await connection.close();
  let left = await watcher.checkQueue(queue);
  while (left.consumerCount > 0) left = await watcher.checkQueue(queue);
  assert.equal(left.messageCount, 0);
}
