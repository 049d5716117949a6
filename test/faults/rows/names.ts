import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Target } from '../../helpers/target.ts';
import { Waiting } from '../../helpers/waiting.ts';
import { type DnsAnswer, dnsStub } from '../../merchant/dns-stub.ts';
import type { Row } from '../row.ts';

const PRELOAD = new URL('../preload/name-server.ts', import.meta.url);
const SILENT = 100;
const GOOD = 50;
const FLAPPING = 10;
const ORDERS_EACH = 4;
/** Far below what a lookup takes that waits for those of silent names. */
const UNAFFECTED_MS = 5_000;
const HERE: DnsAnswer = { addresses: ['127.0.0.1'], ttl: 1 };
/** What a name that flaps is answered with, question by question. */
const FLAPS: readonly DnsAnswer[] = ['silence', 'servfail', 'nxdomain', HERE, 'servfail', HERE];

/** 100 names whose server is silent are being looked up while others are looked up for the first time, and change. */
export const nameServers: Row = {
  name: 'name-servers',
  fault: 'name servers of 100 merchants silent, those of 10 flapping',
  short: true,
  async play(stage) {
    const target = await Target.start(stage);
    stage.receipts = target.receipts;
    let silent = true;
    const asked = new Map<string, number>();
    const waiting = new Waiting();
    const stub = await dnsStub(stage, (name, type) => {
      const times = asked.get(name) ?? 0;
      if (type === 'A') asked.set(name, times + 1);
      waiting.changed();
      if (name.startsWith('silent')) return silent ? 'silence' : HERE;
      if (type === 'AAAA') return { addresses: [] };
      return name.startsWith('flaps') ? (FLAPS[times] ?? HERE) : HERE;
    });
    stage.preload(PRELOAD, { NAME_SERVER: stub.server });
    const ids = (kind: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${kind}-${n}`);
    const merchants = [...ids('silent', SILENT), ...ids('good', GOOD), ...ids('flaps', FLAPPING)];
    const directory = join(stage.dir, 'merchants.json');
    const defaults = { url: target.urlTemplate.replace('127.0.0.1', '{merchantId}.test') };
    const known = Object.fromEntries(merchants.map((id) => [id, {}]));
    await writeFile(directory, JSON.stringify({ allowHosts: ['*.test'], defaults, merchants: known }));
    const publish = async (name: string, of: readonly string[]): Promise<void> => {
      const file = join(stage.dir, `${name}.ndjson`);
      const lines = Array.from({ length: of.length * ORDERS_EACH }, (_, n) =>
        JSON.stringify({ id: `${name}-${n}`, merchant_id: of[n % of.length] }),
      );
      await writeFile(file, `${lines.join('\n')}\n`);
      await stage.publish({ file });
    };
    const accepted = (kind: string): number =>
      [...target.receipts].filter(({ merchant, acceptedAt }) => merchant.startsWith(kind) && acceptedAt !== null)
        .length;

    await publish('silent', ids('silent', SILENT));
    const limits = ['--backoff', '100ms', '--backoff-max', '1s', '--max-attempts', '100'];
    const worker = await stage.work('--merchants', directory, ...limits);
    await waiting.until('a question for every silent name', () => asked.size === SILENT);
    const publishedAt = Date.now();
    await publish('others', [...ids('good', GOOD), ...ids('flaps', FLAPPING)]);
    await target.until('the good ones', () => accepted('good') === GOOD * ORDERS_EACH && target.open === 0);
    const slowestMs =
      Math.max(...target.received.map(({ at, merchant }) => (merchant.startsWith('good') ? at : 0))) - publishedAt;
    if (slowestMs > UNAFFECTED_MS) {
      throw new Error(`expected no good merchant to wait for the silent ones, one got its order after ${slowestMs} ms`);
    }
    if (accepted('silent') > 0) throw new Error('expected no call to a merchant whose name nobody has answered for');
    silent = false;
    const answeredAt = performance.now();
    await target.until('the first that was silent', () => accepted('silent') > 0);
    const recoveredMs = [performance.now() - answeredAt];
    await stage.ended(worker);
    for (const { merchant, outcome, ...line } of worker.log.all) {
      if (outcome === undefined || outcome === 'deferred') continue;
      if (outcome === 'not-sent' && !String(merchant).startsWith('good')) continue;
      throw new Error(
        `expected not-sent of merchants without an address alone: ${JSON.stringify({ merchant, outcome, ...line })}`,
      );
    }
    return { bound: 0, recoveredMs };
  },
};
