import { BlockList, isIP, isIPv4 } from 'node:net';
import { parseHostPattern, plainHost } from '../host-pattern.ts';

/**
 * Which places a call may go to. HTTPS to public addresses needs nobody's leave; plain HTTP, and addresses that are
 * private, loopback, link-local (cloud metadata), reserved or multicast, are for the hosts an operator allowed by name.
 *
 * A name is matched as it is written in the URL: allowing a name allows whatever it resolves to, and allowing an address
 * does not allow the names that resolve to it.
 */
export class AddressGuard {
  /** What was allowed, as text. */
  readonly patterns: readonly string[];
  readonly #places = new Set<string>();
  readonly #suffixes = new Set<string>();

  /** Patterns that cannot be read allow nothing; `hostPatternProblem` tells of them. */
  constructor(patterns: readonly string[]) {
    this.patterns = patterns;
    for (const pattern of patterns) {
      const parsed = parseHostPattern(pattern);
      if (parsed !== undefined) (parsed.below ? this.#suffixes : this.#places).add(parsed.place);
    }
  }

  allows(host: string, port: number): boolean {
    const name = plainHost(host);
    if (this.#places.has(name) || this.#places.has(`${name}:${port}`)) return true;
    if (this.#suffixes.size === 0 || isIP(name) !== 0) return false;
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const suffix = name.slice(dot + 1);
      if (this.#suffixes.has(suffix) || this.#suffixes.has(`${suffix}:${port}`)) return true;
    }
    return false;
  }

  /** Why nothing may be sent to a host as its URL names it; undefined when it may. Names are not resolved here. */
  refusal(secure: boolean, host: string, port: number): string | undefined {
    const name = plainHost(host);
    const local = isIP(name) === 0 ? isLocalhost(name) : !isPublicAddress(name);
    if ((secure && !local) || this.allows(name, port)) return undefined;
    const what = secure ? `${name} is not a public address` : `${placeOf(name, port)} is plain HTTP`;
    return `${what}: expected ${secure ? 'one' : 'https'}, or ${placeOf(name, port)} in allowHosts or --allow-host`;
  }

  /** Why an address that a name resolved to may not be connected to; undefined when it may. */
  addressRefusal(host: string, port: number, address: string): string | undefined {
    if (isPublicAddress(address) || this.allows(host, port)) return undefined;
    const place = placeOf(plainHost(host), port);
    return `${host} resolves to ${address}, which is not a public address: expected one, or ${place} in allowHosts or --allow-host`;
  }
}

/** A connection that the guard did not let happen. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
  readonly code = 'EADDRGUARD';
}

/** Names that never leave the machine (RFC 6761). */
export function isLocalhost(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}

export function isPublicAddress(address: string): boolean {
  const zone = address.indexOf('%');
  const bare = zone === -1 ? address : address.slice(0, zone);
  if (isIP(bare) === 0) return false;
  if (isIPv4(bare)) return !NOT_PUBLIC.check(bare, 'ipv4');
  if (MAPPED.check(bare, 'ipv6')) return !NOT_PUBLIC.check(bare, 'ipv6');
  return NAT64.check(bare, 'ipv6') ? !NOT_PUBLIC_NAT64.check(bare, 'ipv6') : !NOT_PUBLIC_6.check(bare, 'ipv6');
}

// IANA's special-purpose registries. BlockList applies IPv4 rules to IPv4-mapped IPv6 by itself; addresses behind the
// well-known NAT64 prefix are judged by the IPv4 address in them, because an IPv6-only network reaches everybody that way.
const NOT_PUBLIC_V4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
];
const NOT_PUBLIC_V6: readonly (readonly [string, number])[] = [
  // Public are 2000::/3 and IPv4 behind NAT64; the rest is unallocated, local, or IPv4 in disguise.
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
  ['5f00::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
];
const NOT_PUBLIC = new BlockList();
/** IPv4 behind a translator, 64:ff9b::/96, is judged by its IPv4 address. */
const NAT64 = new BlockList();
NAT64.addSubnet('64:ff9b::', 96, 'ipv6');
/** IPv4-mapped IPv6, to which BlockList applies the rules for IPv4. */
const MAPPED = new BlockList();
MAPPED.addSubnet('::ffff:0:0', 96, 'ipv6');
const NOT_PUBLIC_NAT64 = new BlockList();
for (const [net, prefix] of NOT_PUBLIC_V4) {
  NOT_PUBLIC.addSubnet(net, prefix, 'ipv4');
  NOT_PUBLIC_NAT64.addSubnet(`64:ff9b::${net}`, 96 + prefix, 'ipv6');
}
// A list of its own: BlockList would take an IPv4 address for its mapped form, which lies in ::/3.
const NOT_PUBLIC_6 = new BlockList();
for (const [net, prefix] of NOT_PUBLIC_V6) NOT_PUBLIC_6.addSubnet(net, prefix, 'ipv6');

function placeOf(name: string, port: number): string {
  return name.includes(':') ? `[${name}]:${port}` : `${name}:${port}`;
}
