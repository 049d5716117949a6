import assert from 'node:assert/strict';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateBroker } from '../../src/sim/broker.ts';
import { check, type PublishedMessage, type Verdict } from '../../src/sim/checker.ts';
import { journalOf } from '../../src/sim/journal.ts';
import { type Merchants, startMerchants } from '../../src/sim/merchants.ts';
import { type Random, seeded } from '../../src/sim/random.ts';
import type { Receipt } from '../../src/sim/receipts.ts';
import { parseScenario } from '../../src/sim/scenario.ts';
import { type TakenMessage, takeAll } from '../../src/sim/take-all.ts';
import { launch } from '../cli/command-line.ts';
import { type Command, startCommand } from '../helpers/command.ts';
import type { Scope } from '../helpers/worker.ts';
import { AmqpProxy } from './amqp-proxy.ts';

export interface StageOptions {
  readonly broker: PrivateBroker;
  readonly queue: string;
  /** A folder for what processes leave to each other. */
  readonly dir: string;
  readonly seed: number;
  /** The sizes of the issue in place of those that a shared machine can bear. */
  readonly full: boolean;
}

/** What `orderlane publish` is to publish: made-up orders, or those of a file. */
export type Load =
  | {
      readonly orders: number;
      /** Orders a second. @default as fast as it goes */
      readonly rate?: number;
      /** @default 50 */
      readonly merchants?: number;
      /** @default the stage's */
      readonly broker?: string;
    }
  | { readonly file: string };

/** More than any row can wait for, for `publishing` that is stopped. */
export const ENDLESS = 10_000_000;

export interface Publishing {
  readonly done: Promise<void>;
  /** Resolves when it has ended and all that it has published is confirmed. */
  stop(): Promise<void>;
}

/** Figures of one `stats` line. */
export interface Reading {
  readonly received: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly unsettled: number;
  readonly joined: number;
  readonly retried: number;
  readonly onLadder: number;
}

/** Where a round is played: a broker, simulated merchants, and orderlane's own processes, all of it gone in the end. */
export class Stage implements Scope {
  readonly broker: PrivateBroker;
  readonly queue: string;
  readonly dir: string;
  readonly seed: number;
  readonly full: boolean;
  readonly random: Random;
  /** Every log line of every worker, for whoever must find out what happened. */
  readonly workers: Command[] = [];
  readonly #ends: (() => unknown)[] = [];
  readonly #journals: string[] = [];
  /** Messages that a row has published by itself. */
  readonly #published: PublishedMessage[] = [];
  #republished = 0;
  #merchants: Merchants | undefined;
  #receipts: Iterable<Receipt> | undefined;
  /** Of workers that are started. */
  #env: Readonly<Record<string, string>> = {};

  constructor(options: StageOptions) {
    this.broker = options.broker;
    this.queue = options.queue;
    this.dir = options.dir;
    this.seed = options.seed;
    this.full = options.full;
    this.random = seeded(options.seed);
  }

  after(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** Simulated merchants with a scenario as `orderlane merchants` takes it. */
  async merchants(scenario: object): Promise<Merchants> {
    const merchants = await startMerchants({ scenario: parseScenario(scenario) });
    this.#merchants = merchants;
    this.after(() => merchants.stop());
    return merchants;
  }

  async proxy(): Promise<AmqpProxy> {
    const proxy = await AmqpProxy.start(this.broker.port);
    this.after(() => proxy.stop());
    return proxy;
  }

  /** `orderlane publish` to its end; resolves when all is confirmed. */
  async publish(load: Load): Promise<void> {
    await (await this.publishing(load)).done;
  }

  /** `orderlane publish` until it is stopped, or has published all; resolves when the broker has confirmed the first order. */
  async publishing(load: Load): Promise<Publishing> {
    const journal = join(this.dir, `journal-${this.#journals.length}.ndjson`);
    this.#journals.push(journal);
    const url = ('broker' in load ? load.broker : undefined) ?? this.broker.url;
    const args = ['publish', '-b', url, '-Q', this.queue];
    args.push('--journal', journal, '--json', '--connect-wait', '2m', ...loadFlags(load, this.seed));
    const child = launch(args);
    this.after(() => child.kill('SIGKILL'));
    const done = (async () => {
      const [out, err, [code]] = await Promise.all([
        text(child.stdout as NodeJS.ReadableStream),
        text(child.stderr as NodeJS.ReadableStream),
        once(child, 'close') as Promise<[number | null]>,
      ]);
      assert.equal(code, 0, `publish ended with ${code}: ${err}`);
      this.#republished += (JSON.parse(out) as { republished: number }).republished;
    })();
    done.catch(() => undefined); // whoever waits for it hears it
    // A worker that drains would end before there is anything. Files tell nobody when they grow.
    const begun = async (): Promise<void> => {
      while ((await stat(journal).catch(() => ({ size: 0 }))).size === 0) await sleep(20);
    };
    await Promise.race([begun(), done]);
    return {
      done,
      stop: async () => {
        child.kill('SIGTERM');
        await done;
      },
    };
  }

  /** What `publish` has published so far and the broker has confirmed. */
  async messages(): Promise<readonly PublishedMessage[]> {
    const messages = [...this.#published];
    for (const journal of this.#journals) messages.push(...(await journalOf(journal)));
    return messages;
  }

  /** Counts a message that the row has published by itself, and that the broker has confirmed. */
  published(key: string, merchant: string): void {
    this.#published.push({ key, order: key, merchant, intendedAt: Date.now(), confirmedAt: Date.now() });
  }

  /** Messages that `publish` has published again after a lost connection: each may be in the queue twice. */
  get republished(): number {
    return this.#republished;
  }

  /**
   * `orderlane work --drain`, ready. It ends by itself when nothing is left, so the orders should be there first. Whoever
   * expects it to end otherwise takes it out of `workers`.
   */
  async work(...args: readonly string[]): Promise<Command> {
    const command = this.startWork(...args);
    await command.log.until('ready');
    return command;
  }

  /** The same, not waited for. */
  startWork(...args: readonly string[]): Command {
    return this.#startWork('--drain', ...args);
  }

  /**
   * `orderlane work`, ready, until it is asked to end: for whoever publishes over a connection that may be gone for longer than
   * one that drains waits for more.
   */
  async lasting(...args: readonly string[]): Promise<Command> {
    const command = this.#startWork(...args);
    await command.log.until('ready');
    return command;
  }

  #startWork(...args: readonly string[]): Command {
    const fixed = ['work', '-Q', this.queue, '--shards', '2', '--allow-host', '127.0.0.1'];
    const log = ['--log-format', 'json', '--log-level', 'debug', '--stats-interval', '50ms'];
    const address = args.includes('-b') ? [] : ['-b', this.broker.url];
    const target = args.includes('--merchants') || args.includes('--url') ? [] : ['--url', this.#urlTemplate()];
    const command = startCommand(this, [...fixed, ...log, ...address, ...target, ...args], this.#env);
    this.workers.push(command);
    return command;
  }

  /** Every thread of the workers that are started from now on loads this module first; it finds `env` there. */
  preload(module: URL, env: Readonly<Record<string, string>>): void {
    this.#env = { ...env, NODE_OPTIONS: `--import=${module.href}` };
  }

  /** The first `stats` line of a worker, from now on, of which this is true. */
  async until(worker: Command, what: (reading: Reading) => boolean): Promise<void> {
    await worker.log.next((line) => {
      const counts = line['counts'] as Reading | undefined;
      return counts !== undefined && what(counts);
    });
  }

  /** Waits until a merchant gets one more call; resolves with the milliseconds since `since`. */
  async nextCall(since: number = performance.now()): Promise<number> {
    const merchants = this.#merchants as Merchants;
    const { requests } = merchants.stats(0);
    await merchants.until((counts) => counts.requests > requests);
    return performance.now() - since;
  }

  /** Waits until a worker that drains has ended by itself, as it should. */
  async ended(worker: Command): Promise<void> {
    const end = await worker.ended;
    assert.equal(end, 0, `work ended with ${end}:\n${worker.log.tail()}\n${worker.stderr()}`);
  }

  /** Judges the whole history, when the last process has ended; empties the queues. */
  async judge(
    receipts: Iterable<Receipt>,
  ): Promise<{ readonly verdict: Verdict; readonly dead: readonly TakenMessage[] }> {
    const published = await this.messages();
    const queues = await takeAll(this.broker.url, this.queue);
    const identities = (messages: readonly TakenMessage[]): string[] => messages.map(({ identity }) => identity);
    const verdict = check({
      published,
      receipts,
      dead: identities(queues.dead),
      ambiguous: identities(queues.ambiguous),
      queued: identities(queues.queued),
    });
    return { verdict, dead: queues.dead };
  }

  /** What merchants have received: the simulated ones, or those of a row with servers of its own. */
  get receipts(): Iterable<Receipt> {
    return this.#receipts ?? this.#merchants?.receipts ?? [];
  }

  set receipts(own: Iterable<Receipt>) {
    this.#receipts = own;
  }

  /** Ends everything, last first. */
  async end(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }

  #urlTemplate(): string {
    return (this.#merchants as Merchants).urlTemplate;
  }
}

function loadFlags(load: Load, seed: number): string[] {
  if ('file' in load) return ['--file', load.file];
  const { orders, rate, merchants = 50 } = load;
  const flags = ['--generate', String(orders), '--merchants', String(merchants), '--zipf', '0'];
  flags.push('--seed', String(seed));
  return rate === undefined ? flags : [...flags, '--rate', String(rate)];
}
