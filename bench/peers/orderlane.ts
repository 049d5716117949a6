import { compiled } from '../compiled.ts';
import type { Job, Peer } from '../peer.ts';

/** A handler of ours in ../handlers; none for the built-in forwarder. */
export type HandlerName = 'noop' | 'wait' | 'undici' | 'burn' | 'full';

/**
 * orderlane itself, by its command line. A merchant may use all of the concurrency unless told otherwise, as with the peers,
 * and the prefetch is what they hold, with room to spare. At log level debug it tells of every retry and deferral.
 */
export function orderlane(
  handler?: HandlerName,
  merchantConcurrency?: number,
  logLevel = 'warn',
  shards = 1,
  outcomes = false,
): Peer {
  return {
    name: `orderlane${shards === 1 ? '' : `, ${shards} shards`}${outcomes ? ', outcome events' : ''}`,
    command: ({ broker, queue, concurrency, url }: Job) => {
      const flags = ['--broker', broker, '--queue', queue, '--shards', String(shards)];
      flags.push('--log-level', logLevel, '--log-format', 'json', '--concurrency', String(concurrency));
      flags.push('--merchant-concurrency', String(merchantConcurrency ?? concurrency));
      if (outcomes) flags.push('--outcomes');
      if (concurrency > 9000) flags.push('--prefetch', String(Math.min(65_535, Math.ceil(concurrency * 1.08))));
      if (handler !== undefined) flags.push('--handler', compiled(`bench/handlers/${handler}.ts`));
      if (url !== undefined) flags.push('--url', url, '--allow-host', '127.0.0.1');
      return [compiled('src/cli/main.ts'), 'work', ...flags];
    },
  };
}
