import { fileURLToPath } from 'node:url';
import type { Job, Peer } from '../peer.ts';

/** A consumer that somebody would write by hand; `does` says what it does with an order. */
export function plain(does: 'ack' | 'got' | 'wait'): Peer {
  const names = { ack: 'bare amqplib, acks only', got: 'plain amqplib + got', wait: 'plain amqplib, waits' };
  return {
    name: names[does],
    command: (job: Job) => [
      fileURLToPath(new URL('./plain-consumer.ts', import.meta.url)),
      does,
      JSON.stringify({ ...job, concurrency: does === 'ack' ? 10_000 : job.concurrency }),
    ],
  };
}
