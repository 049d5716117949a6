import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { type PrivateBroker, startBroker } from '../src/sim/broker.ts';
import { Child } from '../src/sim/child.ts';
import type { Receipt } from '../src/sim/receipts.ts';
import { onInterrupt } from './interrupt.ts';
import type { Job, Peer } from './peer.ts';
import { Inbox, QUEUE } from './publish.ts';

const POLL_MS = 10;
/** Nothing has moved for so long: whoever should have delivered does not. */
const STALLED_MS = 60_000;

export interface MerchantSettings {
  /** From the request's last byte to the answer, in milliseconds. */
  readonly latencyMs: number;
  readonly tls?: boolean;
}

/** What every system is given: a broker of its own, empty, and the same merchants. */
export interface Stage {
  readonly broker: PrivateBroker;
  readonly inbox: Inbox;
  readonly merchants: SimulatedMerchants | undefined;
  readonly job: (sizes: Pick<Job, 'warmup' | 'orders' | 'concurrency'>) => Job;
}

export async function onStage<T>(
  peer: Peer,
  settings: MerchantSettings | undefined,
  work: (stage: Stage) => Promise<T>,
): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-bench-'));
  const kept = onInterrupt(() => rmSync(dir, { recursive: true, force: true }));
  const broker = await startBroker();
  let merchants: SimulatedMerchants | undefined;
  let inbox: Inbox | undefined;
  try {
    merchants = settings === undefined ? undefined : await SimulatedMerchants.start(settings, dir);
    inbox = await Inbox.open(broker, peer.takesTasks === true);
    const job: Stage['job'] = (sizes) => ({ broker: broker.url, queue: QUEUE, ...sizes, ...merchants?.where });
    return await work({ broker, inbox, merchants, job });
  } finally {
    await inbox?.close().catch(() => undefined); // with a broker that is gone, there is a better error
    await merchants?.stop();
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
    kept();
  }
}

export class SimulatedMerchants {
  readonly where: Pick<Job, 'url' | 'ca'>;
  readonly #child: Child;
  readonly #control: string;
  readonly #agent: Agent;

  private constructor(child: Child, control: string, where: Pick<Job, 'url' | 'ca'>) {
    this.#child = child;
    this.#control = control;
    this.where = where;
    this.#agent = new Agent(where.ca === undefined ? {} : { connect: { ca: readFileSync(where.ca, 'utf8') } });
  }

  static async start({ latencyMs, tls = false }: MerchantSettings, dir: string): Promise<SimulatedMerchants> {
    const files = tls ? await certificate(dir) : undefined;
    const main = fileURLToPath(new URL('./merchants-process.ts', import.meta.url));
    const { child, line } = await Child.ready({ main, args: [JSON.stringify({ latencyMs, tls: files })] });
    const { url, urlTemplate } = JSON.parse(line) as { url: string; urlTemplate: string };
    return new SimulatedMerchants(child, url, { url: urlTemplate, ...(files === undefined ? {} : { ca: files.cert }) });
  }

  /** When they had accepted so many orders, in milliseconds since the epoch, to 10 ms. */
  accepted(orders: number): Promise<number> {
    return this.#until('accepted', orders);
  }

  /** When so many calls were waiting for their answer. */
  inFlight(calls: number): Promise<number> {
    return this.#until('inFlight', calls);
  }

  async receipts(): Promise<Receipt[]> {
    const text = await (await this.#ask('receipts')).text();
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Receipt);
  }

  async stop(): Promise<void> {
    await this.#agent.destroy();
    await this.#child.stop();
  }

  async #until(what: 'accepted' | 'inFlight', least: number): Promise<number> {
    let [last, since] = [-1, Date.now()];
    for (;;) {
      const stats = (await (await this.#ask('stats?top=0')).json()) as {
        readonly inFlight: number;
        readonly messages: { readonly accepted: number };
      };
      const now = Date.now();
      const count = what === 'inFlight' ? stats.inFlight : stats.messages.accepted;
      if (count >= least) return now;
      if (count !== last) [last, since] = [count, now];
      if (now - since > STALLED_MS)
        throw new Error(`the merchants have ${count} ${what} for a minute, expected ${least}`);
      await sleep(POLL_MS);
    }
  }

  async #ask(path: string): Promise<{ text(): Promise<string>; json(): Promise<unknown> }> {
    const { body } = await request(`${this.#control}/_orderlane/${path}`, { dispatcher: this.#agent });
    return body;
  }
}

/** For 127.0.0.1, signed by itself. */
async function certificate(dir: string): Promise<{ readonly key: string; readonly cert: string }> {
  const files = { key: join(dir, 'key.pem'), cert: join(dir, 'cert.pem') };
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', files.key];
  await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...key, '-out', files.cert, ...name]);
  return files;
}
