import { fileURLToPath } from 'node:url';
import type { Job, Peer } from '../peer.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/**
 * orderlane itself, by its command line, with one shard. A merchant may use all of the concurrency unless told otherwise. At
 * log level debug it tells of every retry and deferral.
 */
export function orderlane(handler?: 'noop' | 'wait', merchantConcurrency?: number, logLevel = 'warn'): Peer {
  return {
    name: 'orderlane',
    command: ({ broker, queue, concurrency, url }: Job) => {
      const inFlight = String(concurrency);
      const flags = [
        '--broker',
        broker,
        '--queue',
        queue,
        '--shards',
        '1',
        '--log-level',
        logLevel,
        '--log-format',
        'json',
      ];
      flags.push('--concurrency', inFlight, '--merchant-concurrency', String(merchantConcurrency ?? concurrency));
      if (handler !== undefined)
        flags.push('--handler', fileURLToPath(new URL(`../handlers/${handler}.ts`, import.meta.url)));
      if (url !== undefined) flags.push('--url', url, '--allow-host', '127.0.0.1');
      return [MAIN, 'work', ...flags];
    },
  };
}
