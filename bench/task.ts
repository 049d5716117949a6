import { crc32 } from 'node:zlib';
import { connect, type Options } from 'amqplib';
import type { TakenMessage } from '../src/sim/take-all.ts';

/** How long nothing must come, as in takeAll(). */
const QUIET_MS = 1_500;

/** Where a queue's orders wait as Celery tasks. */
export function tasksQueue(queue: string): string {
  return `${queue}.celery`;
}

/** As sourceQueueArguments() of RabbitMQ before 4, and as celery_app.py declares it. */
export const TASKS_ARGUMENTS: Readonly<Record<string, string>> = { 'x-queue-type': 'quorum' };

/**
 * An order as a Celery task, message protocol 2 with a JSON body. The order is one string among the arguments, so that the
 * worker need not parse and print it.
 */
export function taskOf(
  messageId: string,
  merchantId: string,
  body: Buffer,
): { readonly content: Buffer; readonly options: Options.Publish } {
  const embedded = { callbacks: null, errbacks: null, chain: null, chord: null };
  return {
    content: Buffer.from(JSON.stringify([[merchantId, messageId, body.toString()], {}, embedded])),
    options: {
      persistent: true,
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      correlationId: messageId,
      headers: {
        lang: 'py',
        task: 'bench.deliver',
        id: messageId,
        root_id: messageId,
        parent_id: null,
        group: null,
        retries: 0,
        eta: null,
        expires: null,
        timelimit: [null, null],
        ignore_result: true,
        argsrepr: '',
        kwargsrepr: '{}',
      },
    },
  };
}

/** Empties the queue of tasks of a run that is over, and tells which orders were in it. */
export async function takeTasks(broker: string, queue: string): Promise<readonly TakenMessage[]> {
  const connection = await connect(broker, { noDelay: true });
  const channel = await connection.createChannel();
  const taken: TakenMessage[] = [];
  const quiet = Promise.withResolvers<void>();
  const timer = setTimeout(quiet.resolve, QUIET_MS);
  await channel.consume(tasksQueue(queue), (message) => {
    if (message === null) return;
    timer.refresh();
    const [[merchant, identity, body]] = JSON.parse(message.content.toString()) as [[string, string, string]];
    taken.push({ identity, merchant, reason: '', bodyHash: crc32(body) });
    channel.ack(message);
  });
  await quiet.promise;
  await connection.close();
  return taken;
}
