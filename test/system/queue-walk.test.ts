import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Held, QueueWalk } from '../../src/broker/rabbitmq/queue-walk.ts';
import { withBroker } from '../helpers/broker.ts';
import { Collected, type Message, put } from '../helpers/queues.ts';

const broker = await withBroker();

/** A queue with messages `0` to `39`, which are more than a page. */
async function queueOf40(): Promise<string> {
  const queue = broker.queueName();
  const channel = await (await broker.connect()).createChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.close();
  await put(broker, queue, ...Array.from({ length: 40 }, (_, n): Message => ({ messageId: String(n), body: 'x' })));
  return queue;
}

test('a walk leaves nothing of itself on its connection', async () => {
  const connection = await broker.connect();
  const queue = await queueOf40();
  const before = connection.listenerCount('close');
  const seen: string[] = [];
  const walk = new QueueWalk(connection, queue);
  await walk.run(({ properties }) => void seen.push(String(properties.messageId)));
  assert.deepEqual(
    seen,
    Array.from({ length: 40 }, (_, n) => String(n)),
  );
  assert.equal(await walk.giveBack(), true);
  assert.equal(connection.listenerCount('close'), before);
});

test('a page that the broker has closed alone keeps nothing of the others from being given back', async () => {
  const connection = await broker.connect();
  const queue = await queueOf40();
  const held: Held[] = [];
  const walk = new QueueWalk(connection, queue);
  await walk.run((_message, each) => void held.push(each));
  const { page } = held[0] as Held;
  assert.ok(held.some((each) => each.page !== page));
  walk.ack({ page, tag: 1_000_000 }); // nobody's: the broker closes the channel
  await assert.rejects(walk.lost, /PRECONDITION_FAILED/);
  assert.equal(await walk.giveBack(), false);
  const back = await Collected.from(broker, queue);
  await Promise.all(held.map((_each, n) => back.message(String(n))));
});
