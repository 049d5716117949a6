import { fileURLToPath } from 'node:url';
import type { Peer } from '../peer.ts';

/** A loop of calls without a broker. */
export function loop(client: 'got' | 'undici'): Peer {
  return {
    name: `bare ${client} loop`,
    command: (job) => [fileURLToPath(new URL('./http-loop.ts', import.meta.url)), client, JSON.stringify(job)],
  };
}
