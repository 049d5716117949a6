/**
 * The hand-written consumer that orderlane is compared with: one process, one channel, prefetch for concurrency, an ack
 * when the call is done. It has none of the promises: no lanes, no retries, no dead letters.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { type ConsumeMessage, connect } from 'amqplib';
import { burn } from '../handlers/burning.ts';
import { Marker } from '../mark.ts';
import type { Job } from '../peer.ts';
import { postWith, urlOf } from './http-client.ts';
import type { Does } from './plain.ts';

const does = process.argv[2] as Does;
const job = JSON.parse(process.argv[3] as string) as Job;
const marker = new Marker();
/** Where merchants are called, they tell how many answers there were. */
const counted = job.url !== undefined;
const WAIT_MS = 5_000;

const post = postWith(does === 'undici' ? 'undici' : 'got');

async function send(message: ConsumeMessage): Promise<void> {
  const merchantId = String(message.properties.headers?.['merchant_id']);
  if (does === 'burn') burn(merchantId);
  const key = String(message.properties.messageId);
  await post(urlOf(job.url as string, merchantId), message.content.toString(), key);
}

const connection = await connect(job.broker, { noDelay: true });
const channel = await connection.createChannel();
await channel.prefetch(Math.min(job.concurrency, 65_535));
await channel.consume(job.queue, (message) => {
  if (message === null) return;
  if (!counted) marker.began();
  if (does === 'ack') {
    channel.ack(message);
    marker.ended();
    return;
  }
  const work = does === 'wait' ? wait(WAIT_MS) : send(message);
  work.then(
    () => {
      channel.ack(message);
      if (!counted) marker.ended();
    },
    () => channel.nack(message), // back to the queue, as it would be by hand
  );
});
process.once('SIGTERM', () => {
  void connection.close().then(() => process.exit(0));
});
