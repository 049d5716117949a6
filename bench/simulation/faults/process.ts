import type { Budget } from '../../../src/dispatcher/budget.ts';
import type { Settlements } from '../../../src/dispatcher/settlements.ts';
import type { Lane, Waiting } from '../../../src/lane/lane.ts';
import { DEFAULTS, type Options } from '../../../src/options.ts';
import { type Ended, type Running, start } from '../../../src/run.ts';
import { QUEUE } from './broker.ts';
import type { SimulatedConnection } from './connection.ts';
import { stage } from './stage.ts';
import type { Piscina, SimulatedThread } from './threads.ts';
import { type Actor, newActor } from './virtual-time.ts';

/** How a process of this world is configured; the same for all of its lives. */
export type Configuration = Pick<
  Options,
  | 'concurrency'
  | 'prefetch'
  | 'windowBytes'
  | 'maxMessageBytes'
  | 'maxAttempts'
  | 'maxCrashes'
  | 'backoffMs'
  | 'backoffMaxMs'
  | 'deadlineMs'
  | 'shards'
  | 'threadTimeoutMs'
  | 'shutdownTimeoutMs'
  | 'outcomes'
> & { readonly hasHandler: boolean };

const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** One life of the product: its own `start`, drain and stop, from a directory to its end. */
export class Process {
  readonly actor: Actor;
  readonly pools: Piscina[] = [];
  /** All that it ever had. */
  readonly threadsMade: SimulatedThread[] = [];
  readonly connections: SimulatedConnection[] = [];
  readonly lanes: Lane<Waiting>[] = [];
  budget: Budget | undefined;
  settlements: Settlements | undefined;
  readonly #configuration: Configuration;
  #running: Running | undefined;
  #drainedAt: number | undefined;
  /** How it ended by itself. */
  ended: Ended | undefined;

  constructor(number: number, configuration: Configuration) {
    this.actor = newActor(`p${number}`);
    this.#configuration = configuration;
  }

  get concurrency(): number {
    return this.#configuration.concurrency;
  }

  get hasHandler(): boolean {
    return this.#configuration.hasHandler;
  }

  get outcomes(): Options['outcomes'] {
    return this.#configuration.outcomes;
  }

  get isReady(): boolean {
    return this.actor.alive && this.#running !== undefined && this.#drainedAt === undefined;
  }

  /** When it was asked to end. */
  get drainedAt(): number | undefined {
    return this.#drainedAt;
  }

  get threads(): SimulatedThread[] {
    return this.threadsMade.filter(({ isAlive }) => isAlive);
  }

  begin(): void {
    const { time, tell } = stage();
    tell?.(`${this.actor.name} starts`);
    const { hasHandler, ...configuration } = this.#configuration;
    const options: Options = {
      ...DEFAULTS,
      ...configuration,
      queue: QUEUE,
      statsIntervalMs: 0,
      ...(hasHandler ? { handler: 'simulated' } : {}),
    };
    const said = (level: string) => (fields: object, message: string) =>
      tell?.(`${this.actor.name} ${level}: ${message} ${JSON.stringify(fields)}`);
    const logger =
      tell === undefined ? SILENT : { ...SILENT, info: said('info'), warn: said('warn'), error: said('error') };
    time.after(0, () => void this.#start(options, { logger, write: ignore } as never), this.actor);
  }

  /** As at SIGTERM. */
  drain(): void {
    const { time } = stage();
    this.#drainedAt = time.now();
    time.after(0, () => this.#running?.drain(), this.actor);
  }

  /** As its program ends it, or a shard that fails for good: without waiting for calls. */
  stop(): void {
    const { time } = stage();
    this.#drainedAt = time.now();
    time.after(0, () => this.#running?.stop(), this.actor);
  }

  /** As at SIGKILL, or when it has ended: its threads end with it, its sockets are closed by the system. */
  kill(): void {
    const { dice } = stage();
    for (const { actor } of this.threadsMade) actor.alive = false;
    this.actor.alive = false;
    for (const connection of this.connections) {
      if (connection.isOpen) connection.cut({ clientMs: 0, brokerMs: dice.delay(5, 20_000) });
    }
  }

  /** What is not back at nothing, though nothing is in hand any more. */
  leftOver(): string | undefined {
    const stats = this.#running?.stats();
    if (stats === undefined) return 'it has not started';
    const { lanes, budget, settlements } = this;
    const sum = (of: (lane: Lane<Waiting>) => number): number => lanes.reduce((total, lane) => total + of(lane), 0);
    const counts = {
      waiting: stats.waiting,
      inFlight: stats.inFlight,
      overAge: stats.overAge,
      unsettled: stats.unsettled,
      unsettledBytes: stats.unsettledBytes,
      onLadder: stats.onLadder,
      budget: budget?.used ?? 0,
      settling: settlements?.pending ?? 0,
      ledger: settlements?.ledger.size ?? 0,
      slots: stats.shards.reduce((total, { inFlight }) => total + inFlight, 0),
      'lane.inFlight': sum(({ inFlight }) => inFlight),
      'lane.waiting': sum(({ waiting }) => waiting),
      'lane.waitingBytes': sum(({ waitingBytes }) => waitingBytes),
      'lane.out': sum(({ out }) => Math.abs(out)),
      'lane.hanging': sum(({ hanging }) => Math.abs(hanging)),
      'lane.overAge': sum(({ overAge }) => Math.abs(overAge)),
    };
    const left = Object.entries(counts).filter(([, count]) => count !== 0);
    return left.length === 0 ? undefined : left.map(([name, count]) => `${name} ${count}`).join(', ');
  }

  async #start(options: Options, log: Parameters<typeof start>[1]): Promise<void> {
    try {
      this.#running = await start(options, log);
    } catch (error) {
      stage().tell?.(`${this.actor.name} could not start: ${String(error)}`);
      this.kill();
      return;
    }
    // It was asked to end while it started.
    if (this.#drainedAt !== undefined) this.#running.drain();
    this.ended = await this.#running.done;
    stage().tell?.(`${this.actor.name} has ended; unfinished ${this.ended.unfinished}`);
    this.kill();
  }
}

function ignore(): void {}
