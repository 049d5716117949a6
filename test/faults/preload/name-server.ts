import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';

/** Loaded into every thread of a process before its program: one name server is asked, and nothing else knows a name. */

const server = process.env['NAME_SERVER'] as string;

dns.Resolver = class extends dns.Resolver {
  constructor(options?: dns.ResolverOptions) {
    super(options);
    this.setServers([server]);
  }
};
dns.lookup = ((name: string, _options: unknown, callback: (error: Error) => void) => {
  process.nextTick(callback, Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }));
}) as typeof dns.lookup;
syncBuiltinESMExports();
