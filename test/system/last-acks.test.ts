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

test('the queue takes in every ack of the moments before the connection ends', async () => {
  const queue = broker.queueName();
  const watcher = await (await broker.connect()).createChannel();
  await watcher.assertQueue(queue, { durable: true, arguments: sourceQueueArguments(broker.version) });
  await put(broker, queue, ...Array.from({ length: MESSAGES }, (_, n) => ({ body: { n } })));
  const held: Held[] = [];
  const waiting = new Waiting();
  const consumer = new Consumer(
    { queue, prefetch: 1_000, windowBytes: 2 ** 20, maxMessageBytes: 100, tag: 't' },
    {
      received: ({ content, fields }, epoch, acks) => ({
        tag: fields.deliveryTag,
        epoch,
        acks,
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
});
