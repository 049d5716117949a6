import { isIP } from 'node:net';

/** What a host pattern allows: a host or a suffix, with its port if it names one. */
export interface HostPattern {
  /** As a URL's host reads: lower case, Punycode, canonical addresses, no brackets; `:port` if there is one. */
  readonly place: string;
  /** Whether every name below the place is meant, and not itself. */
  readonly below: boolean;
}

/**
 * Reads a host pattern; undefined if it is none.
 *
 * A pattern is `host`, `host:port`, `*.suffix` or `*.suffix:port`. `host` is a name or an IP address (an IPv6 address
 * with a port in brackets) and matches itself alone, on every port unless one is given. `*.suffix` matches every name
 * below the suffix, at any depth, and not the suffix itself. Case and a trailing dot do not matter.
 */
export function parseHostPattern(pattern: string): HostPattern | undefined {
  const below = pattern.startsWith('*.');
  const rest = below ? pattern.slice(2) : pattern;
  // The URL parser brings a host to the form in which it will be compared: lower case, Punycode, canonical addresses.
  const bare = isIP(rest) === 6 ? `[${rest}]` : rest;
  const match = /^([^*/\\?#@\s]+?)(?::(\d{1,5}))?$/.exec(bare);
  if (match === null || !URL.canParse(`http://${match[1]}`)) return undefined;
  const url = new URL(`http://${match[1]}`);
  const name = plainHost(url.hostname);
  if (url.port !== '' || name === '' || (below && isIP(name) !== 0) || Number(match[2] ?? 1) > 65_535) return undefined;
  return { place: match[2] === undefined ? name : `${name}:${Number(match[2])}`, below };
}

/** What is wrong with a host pattern; undefined when nothing is. */
export function hostPatternProblem(pattern: string): string | undefined {
  if (parseHostPattern(pattern) !== undefined) return undefined;
  return `expected a host, host:port or *.suffix, received ${JSON.stringify(pattern)}`;
}

/** A URL's host without brackets and trailing dot. */
export function plainHost(host: string): string {
  const open = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  return (open.endsWith('.') ? open.slice(0, -1) : open).toLowerCase();
}
