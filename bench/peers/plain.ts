import { compiled } from '../compiled.ts';
import type { Job, Peer } from '../peer.ts';

/** What a plain consumer does with an order; `burn` posts with got after what the handler of that name does. */
export type Does = 'ack' | 'got' | 'undici' | 'wait' | 'burn';

const NAMES: Readonly<Record<Does, string>> = {
  ack: 'bare amqplib, acks only',
  got: 'plain amqplib + got',
  undici: 'plain amqplib + undici',
  wait: 'plain amqplib, waits',
  burn: 'plain amqplib + got',
};

/** A consumer that somebody would write by hand; `does` says what it does with an order. */
export function plain(does: Does): Peer {
  return {
    name: NAMES[does],
    command: (job: Job) => [
      compiled('bench/peers/plain-consumer.ts'),
      does,
      JSON.stringify({ ...job, concurrency: does === 'ack' ? 10_000 : job.concurrency }),
    ],
  };
}
