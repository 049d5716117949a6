import { isIP } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { messageOf } from '../../errors.ts';
import { AddressGuard } from '../../merchant/address-guard.ts';
import type { Directory } from '../../merchant/directory.ts';
import { Resolver } from '../../merchant/resolver.ts';
import { UrlTemplate } from '../../url-template.ts';
import { fail, type Finding, ok, warn } from './finding.ts';

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** What became of one name. */
export interface Resolved extends Place {
  readonly addresses: readonly string[];
  readonly error?: string;
}

const SAMPLE = 200;
const AT_ONCE = 20;
const SHOWN = 3;
const SLICE = 2_000;

/** The hosts of all merchants, each once, and a sample of them when there are many; addresses have no name to resolve. */
export async function placesOf(
  directory: Directory,
  url: string | undefined,
): Promise<{ readonly sample: readonly Place[]; readonly total: number; readonly varies: boolean }> {
  const places = new Map<string, Place>();
  const add = (text: string | undefined): void => {
    if (text === undefined) return;
    const { protocol, hostname, port } = new URL(text);
    const place = { host: hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) };
    if (isIP(hostname.replace(/^\[|\]$/g, '')) === 0) places.set(`${place.host}:${place.port}`, place);
  };
  let varies = false;
  if (url !== undefined) {
    const template = UrlTemplate.parse(url);
    varies = typeof template !== 'string' && template.variesHost;
    if (typeof template !== 'string' && !varies) add(template.sample.href);
  }
  let left = SLICE;
  for (const id of directory.ids) {
    add(directory.find(id)?.url);
    if (--left > 0) continue;
    left = SLICE;
    await turn();
  }
  const all = [...places.values()];
  const step = Math.max(1, all.length / SAMPLE);
  const sample = Array.from({ length: Math.min(all.length, SAMPLE) }, (_, at) => all[Math.floor(at * step)] as Place);
  return { sample, total: all.length, varies };
}

/** Asks for the names as a shard's thread would, a few at a time. */
export async function resolveAll(places: readonly Place[]): Promise<readonly Resolved[]> {
  const resolver = new Resolver();
  const found: Resolved[] = [];
  const queue = places.values();
  const some = async (): Promise<void> => {
    for (const place of queue) {
      found.push(
        await new Promise<Resolved>((done) =>
          resolver.resolve(place.host, (error, answers) => {
            const addresses = answers.map(({ address }) => address);
            done({ ...place, addresses, ...(error === null ? {} : { error: error.code ?? messageOf(error) }) });
          }),
        ),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
  resolver.close();
  return found;
}

/** `found` is what became of the sample; some of many that are gone are their owners' trouble, all of them are ours. */
export function nameChecks(
  found: readonly Resolved[],
  total: number,
  varies: boolean,
  allowHosts: readonly string[],
): readonly Finding[] {
  const check = 'names';
  if (found.length === 0) {
    if (!varies) return [ok(check, 'no merchant has a name to resolve')];
    return [
      warn(check, 'not checked: the host depends on the merchant', 'resolve one of them by hand on this machine'),
    ];
  }
  const guard = new AddressGuard(allowHosts);
  const seen = found.length < total ? `a sample of ${found.length} of ${total.toLocaleString('en')}` : `all ${total}`;
  const unknown = found.filter(({ error }) => error !== undefined);
  const refused = found.flatMap(({ host, port, addresses }) => {
    const reasons = addresses.map((address) => guard.addressRefusal(host, port, address));
    return reasons.length > 0 && reasons.every((reason) => reason !== undefined) ? [reasons[0] as string] : [];
  });
  const findings: Finding[] = [];
  if (unknown.length > 0) {
    const what = `${unknown.length} of ${found.length} do not resolve${found.length < total ? ` (${seen})` : ''}: ${listed(unknown.map(({ host, error }) => `${host} ${error}`))}`;
    const fix =
      'correct the URL in the directory, or the name servers in /etc/resolv.conf; orders for them are retried and then dead-lettered';
    findings.push(unknown.length === found.length ? fail(check, what, fix) : warn(check, what, fix));
  } else findings.push(ok(check, total === 1 ? 'the only name resolves' : `${seen} names resolve`));
  if (refused.length > 0) {
    const fix = 'allow the host by name in allowHosts or --allow-host, if its orders are to go to a private address';
    findings.push(fail('addresses', `${refused.length} of ${found.length} may not be called: ${listed(refused)}`, fix));
  } else if (unknown.length < found.length) findings.push(ok('addresses', 'the address guard lets them be called'));
  return findings;
}

function listed(all: readonly string[]): string {
  const more = all.length > SHOWN ? ` and ${all.length - SHOWN} more` : '';
  return `${all.slice(0, SHOWN).join(', ')}${more}`;
}
