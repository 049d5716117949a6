/**
 * The hand-written consumer that orderlane is compared with: one process, one channel, prefetch for concurrency, an ack
 * when the call is done. It has none of the promises: no lanes, no retries, no dead letters.
 */
import { Agent } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { type ConsumeMessage, connect } from 'amqplib';
import got from 'got';
import { Marker } from '../mark.ts';
import type { Job } from '../peer.ts';

const does = process.argv[2];
const job = JSON.parse(process.argv[3] as string) as Job;
const marker = new Marker(job);
const WAIT_MS = 5_000;

const client = got.extend({
  agent: { http: new Agent({ keepAlive: true, scheduling: 'lifo', maxFreeSockets: 1024 }) },
  retry: { limit: 0 },
  followRedirect: false,
  decompress: false,
  timeout: { request: 15_000 },
});

async function send(message: ConsumeMessage): Promise<void> {
  const merchantId = String(message.properties.headers?.['merchant_id']);
  await client.post((job.url as string).replace('{merchantId}', encodeURIComponent(merchantId)), {
    body: message.content.toString(),
    headers: { 'content-type': 'application/json', 'idempotency-key': String(message.properties.messageId) },
  });
}

const connection = await connect(job.broker, { noDelay: true });
const channel = await connection.createChannel();
await channel.prefetch(job.concurrency);
await channel.consume(job.queue, (message) => {
  if (message === null) return;
  marker.began();
  if (does === 'ack') {
    channel.ack(message);
    marker.ended();
    return;
  }
  const work = does === 'got' ? send(message) : wait(WAIT_MS);
  work.then(
    () => {
      channel.ack(message);
      marker.ended();
    },
    () => channel.nack(message), // back to the queue, as it would be by hand
  );
});
process.once('SIGTERM', () => {
  void connection.close().then(() => process.exit(0));
});
