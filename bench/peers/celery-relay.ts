/**
 * Brings orders that were published for orderlane to a Celery worker's queue as tasks: confirmed there, then acknowledged
 * here. A process of its own, so that its CPU is not the worker's.
 */
import { connect } from 'amqplib';
import type { Job } from '../peer.ts';
import { TASKS_ARGUMENTS, taskOf, tasksQueue } from '../task.ts';

const job = JSON.parse(process.argv[2] as string) as Job;
const connection = await connect(job.broker, { noDelay: true });
const channel = await connection.createConfirmChannel();
await channel.assertQueue(tasksQueue(job.queue), { durable: true, arguments: TASKS_ARGUMENTS });
await channel.prefetch(500);
await channel.consume(job.queue, (message) => {
  if (message === null) return;
  const { messageId, headers } = message.properties;
  const task = taskOf(String(messageId), String(headers?.['merchant_id']), message.content);
  channel.publish('', tasksQueue(job.queue), task.content, task.options, (error: Error | null) => {
    if (error === null) channel.ack(message);
  });
});
process.once('SIGTERM', () => {
  void connection.close().then(() => process.exit(0));
});
