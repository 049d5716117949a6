import { BlockList, isIP } from 'node:net';

/** Where the admin endpoint listens. */
export interface AdminAddress {
  /** An IP address, or localhost. */
  readonly host: string;
  readonly port: number;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Undefined when it is no `address:port`; names other than localhost are none, because they may mean anything. */
export function parseAdminAddress(text: string): AdminAddress | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) return undefined;
  const isHost = bracketed === undefined ? host === 'localhost' || isIP(host) === 4 : isIP(host) === 6;
  return isHost ? { host, port } : undefined;
}

export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const version = isIP(host);
  return version !== 0 && LOOPBACK.check(host, version === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Whether a request's Host header names this machine. A page in a browser here can have its own name resolve to a loopback
 * address, and would read what it says (DNS rebinding); its name stays in the header.
 */
export function isLoopbackAuthority(authority: string): boolean {
  const url = URL.parse(`http://${authority}`);
  return url !== null && isLoopback(url.hostname.replace(/^\[|\]$/g, ''));
}
