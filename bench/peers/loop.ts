import { compiled } from '../compiled.ts';
import type { Peer } from '../peer.ts';

/** A loop of calls without a broker. */
export function loop(client: 'got' | 'undici'): Peer {
  return {
    name: `bare ${client} loop`,
    command: (job) => [compiled('bench/peers/http-loop.ts'), client, JSON.stringify(job)],
  };
}
