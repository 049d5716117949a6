import { compiled } from '../compiled.ts';
import type { Job, Peer } from '../peer.ts';

/** A handler of ours in ../handlers; none for the built-in forwarder. */
export type HandlerName = 'noop' | 'wait' | 'undici' | 'post' | 'burn' | 'full';

export interface OrderlaneSettings {
  /** @default the built-in forwarder */
  readonly handler?: HandlerName | undefined;
  /** Calls to one merchant. @default the concurrency, as with the peers */
  readonly merchantConcurrency?: number;
  /** At debug level it tells of every retry and deferral. @default warn */
  readonly logLevel?: string;
  readonly shards?: number;
  /** Further flags of `work`. */
  readonly flags?: readonly string[];
  /** What the flags make of it, for its name. */
  readonly says?: string;
}

/** orderlane itself, by its command line. Its prefetch is what the concurrency holds, with room to spare. */
export function orderlane(settings: OrderlaneSettings = {}): Peer {
  const { handler, merchantConcurrency, logLevel = 'warn', shards = 1, flags: further = [], says = '' } = settings;
  return {
    name: `orderlane${shards === 1 ? '' : `, ${shards} shards`}${says}`,
    command: ({ broker, queue, concurrency, url }: Job) => {
      const flags = ['--broker', broker, '--queue', queue, '--shards', String(shards), ...further];
      flags.push('--log-level', logLevel, '--log-format', 'json', '--concurrency', String(concurrency));
      flags.push('--merchant-concurrency', String(merchantConcurrency ?? concurrency));
      if (concurrency > 27_000) flags.push('--prefetch', String(Math.min(65_535, Math.ceil(concurrency * 1.08))));
      if (handler !== undefined) flags.push('--handler', compiled(`bench/handlers/${handler}.ts`));
      if (url !== undefined) flags.push('--url', url, '--allow-host', '127.0.0.1');
      return [compiled('src/cli/main.ts'), 'work', ...flags];
    },
  };
}
