import { type AdminParts, AdminServer } from './admin/server.ts';
import { parseAdminAddress } from './admin-address.ts';
import { RabbitmqSource } from './broker/rabbitmq/rabbitmq-source.ts';
import { within } from './broker/rabbitmq/within.ts';
import { systemClock } from './clock.ts';
import { Dispatcher } from './dispatcher/dispatcher.ts';
import type { ShardEvents } from './dispatcher/shard.ts';
import { ShardPool } from './dispatcher/shard-pool.ts';
import { Emptiness } from './emptiness.ts';
import { messageOf, OrderlaneError } from './errors.ts';
import type { Log } from './log.ts';
import { LoopUse } from './loop-use.ts';
import { Directory } from './merchant/directory.ts';
import { changeText } from './merchant/directory-change.ts';
import { directorySourceOf } from './merchant/directory-snapshot.ts';
import { Pauses } from './merchant/pauses.ts';
import { bearerFrom } from './merchant/secrets.ts';
import type { Options } from './options.ts';
import type { Phase, ProcessReadings } from './readings.ts';
import { dispatcherOptions, shardPoolOptions, sourceOptions } from './run-options.ts';
import { type Stats, statsLine } from './stats.ts';

export interface Ended {
  /** Orders that were in hand and go back to the broker. */
  readonly unfinished: number;
  /** The time for shutting down was over before all calls were. */
  readonly timedOut: boolean;
  /** A thread did not end: it is in a native call that blocks. The process can only be killed. */
  readonly stuck: boolean;
  readonly stats: Stats;
  /** What ended the process, when it did not end as asked. */
  readonly error?: OrderlaneError;
}

export interface Running {
  /** Resolves when it is over: after a drain, or after stop. */
  readonly done: Promise<Ended>;
  /** Takes no more, finishes what is being sent, and ends within `shutdownTimeoutMs`. Safe twice. */
  drain(): void;
  /** Stops without waiting for calls that are under way; what is unfinished goes back to the broker. Safe twice. */
  stop(): void;
  stats(): Stats;
}

const TICK_MS = 100;
const SWEEP_MS = 5_000;
/** How long threads may take to end. */
const STOP_LIMIT_MS = 2_000;
const EMPTY_CHECK_MS = 500;

/** Builds the parts and starts them: directory, threads, broker, in this order. Throws when one of them cannot. */
export async function start(options: Options, log: Log): Promise<Running> {
  const directory = await Directory.load(directorySourceOf(options));
  const run = new Run(options, log, directory);
  try {
    await run.start();
  } catch (error) {
    throw await run.abandon(error);
  }
  return run;
}

class Run implements Running {
  readonly done: Promise<Ended>;
  readonly #options: Options;
  readonly #log: Log;
  readonly #directory: Directory;
  readonly #source: RabbitmqSource;
  readonly #pauses: Pauses;
  readonly #mainLoop = new LoopUse(() => performance.eventLoopUtilization());
  #admin: AdminServer | undefined;
  readonly #shards: ShardPool;
  readonly #timers: NodeJS.Timeout[] = [];
  #dispatcher: Dispatcher | undefined;
  #resolve: (ended: Ended) => void = () => undefined;
  #phase: Phase | 'ended' = 'starting';
  /** Why it ends, when nobody asked it to. */
  #error: OrderlaneError | undefined;
  #idle: (() => void) | undefined;

  constructor(options: Options, log: Log, directory: Directory) {
    this.#options = options;
    this.#log = log;
    this.#directory = directory;
    this.#pauses = new Pauses(directory);
    this.done = new Promise((settle) => {
      this.#resolve = settle;
    });
    this.#shards = new ShardPool(shardPoolOptions(options, directory), this.#shardEvents());
    this.#source = new RabbitmqSource(sourceOptions(options), log.logger);
  }

  async start(): Promise<void> {
    const options = this.#options;
    await this.#startAdmin();
    const { confirms } = await this.#shards.start();
    if (this.#error !== undefined) throw this.#error; // a thread that had started was lost for good while another one did
    const dispatcher = new Dispatcher(dispatcherOptions(options, confirms), {
      source: this.#source,
      shards: this.#shards,
      directory: this.#pauses,
      clock: systemClock,
      random: Math.random,
      log: this.#log.logger,
    });
    this.#dispatcher = dispatcher;
    this.#checkConfirm(confirms);
    await this.#source.start(dispatcher);
    this.#phase = 'running';
    this.#directory.watch(
      (change) => {
        this.#shards.allow(this.#directory.allowHosts);
        dispatcher.directoryChanged();
        this.#checkConfirm(confirms);
        this.#log.logger.info(
          { file: options.merchants, counts: { ...change } },
          `the merchant directory has changed: ${changeText(change)}`,
        );
      },
      (error) =>
        this.#log.logger.error(
          { file: options.merchants, reason: error.message },
          'the merchant directory cannot be used; the last good one stays in force',
        ),
    );
    this.#every(TICK_MS, () => dispatcher.tick());
    this.#every(SWEEP_MS, () => dispatcher.sweep());
    if (options.statsIntervalMs > 0) this.#every(options.statsIntervalMs, () => this.#logStats(dispatcher));
    if (options.drain) this.#endWhenEmpty(dispatcher);
    if (options.concurrency > options.prefetch) {
      const { concurrency, prefetch } = options;
      this.#log.logger.warn(
        { concurrency, prefetch },
        'no more orders can be in flight than --prefetch allows in hand',
      );
    }
    const merchants = this.#directory.size;
    if (merchants === 0) {
      this.#log.logger.warn(
        { file: options.merchants },
        'the merchant directory is empty: every order is dead-lettered',
      );
    }
    this.#log.logger.info(
      {
        queue: options.queue,
        ...(merchants === undefined ? {} : { merchants }),
        concurrency: options.concurrency,
        merchantConcurrency: options.merchantConcurrency,
        shards: options.shards,
      },
      'ready',
    );
  }

  /** After a start that failed half way; resolves to why. */
  async abandon(error: unknown): Promise<unknown> {
    this.#phase = 'ended';
    this.#directory.stop();
    this.#admin?.stop();
    await Promise.allSettled([this.#source.stop(), this.#shards.stop()]);
    return this.#error ?? error;
  }

  drain(): void {
    if (this.#phase !== 'running') return;
    this.#phase = 'draining';
    void this.#drain();
  }

  stop(): void {
    if (this.#phase === 'ended') return;
    void this.#end(false);
  }

  stats(): Stats {
    if (this.#dispatcher === undefined) throw new OrderlaneError('FATAL', 'not started');
    return this.#dispatcher.snapshot();
  }

  async #drain(): Promise<void> {
    const dispatcher = this.#dispatcher as Dispatcher;
    const limit = new Promise<'late'>((settle) => {
      this.#timers.push(setTimeout(() => settle('late'), this.#options.shutdownTimeoutMs));
    });
    const finished = (async () => {
      dispatcher.drain(); // first: an answer that comes while the consumers are cancelled starts no other call
      await this.#source.stopConsuming();
      await new Promise<void>((settle) => {
        const check = (): void => {
          if (dispatcher.busy === 0) settle();
        };
        this.#idle = check;
        this.#every(TICK_MS, check); // confirms and acks end without a turn of a shard
        check();
      });
    })();
    const late = (await Promise.race([finished, limit])) === 'late';
    await this.#end(late);
  }

  async #end(timedOut: boolean): Promise<void> {
    if (this.#phase === 'ended') return;
    const wasDraining = this.#phase === 'draining';
    this.#phase = 'ended';
    for (const timer of this.#timers) clearTimeout(timer);
    this.#directory.stop();
    const dispatcher = this.#dispatcher as Dispatcher;
    if (!wasDraining) {
      dispatcher.drain(); // what comes back meanwhile starts no other call
      // Else what is given back is taken in again; and only so the last acks are waited for.
      await within(STOP_LIMIT_MS, 'the end of the consumers', this.#source.stopConsuming()).catch(() => undefined);
    }
    this.#shards.collect();
    const stats = dispatcher.snapshot();
    const sent = dispatcher.busy;
    const unfinished = stats.waiting + sent;
    if (unfinished > 0) {
      this.#log.logger.warn(
        { unfinished, inFlight: stats.inFlight, waiting: stats.waiting, settling: sent - stats.inFlight },
        'these orders are unfinished and go back to the broker',
      );
    }
    // The source first: what it holds is free for others then, whatever a thread still does.
    await this.#source.stop();
    const stuck = await Promise.race([
      this.#shards.stop().then(() => false),
      new Promise<true>((settle) => setTimeout(() => settle(true), STOP_LIMIT_MS)),
    ]);
    const failed = this.#error === undefined ? {} : { error: this.#error };
    this.#admin?.stop();
    this.#resolve({ unfinished, timedOut, stuck, stats, ...failed });
  }

  #fail(error: OrderlaneError): void {
    this.#error ??= error;
    if (this.#dispatcher !== undefined) this.stop();
  }

  #shardEvents(): ShardEvents {
    const dispatcher = (): Dispatcher => this.#dispatcher as Dispatcher;
    return {
      outcome: (entry, outcome) => dispatcher().outcome(entry, outcome),
      turn: () => {
        this.#dispatcher?.turn();
        this.#idle?.();
      },
      // One that is lost while others start has nothing in its hands.
      lost: (shard, loss) => this.#dispatcher?.threadLost(shard, loss),
      ready: (shard) => this.#dispatcher?.shardReady(shard),
      failed: (error) => this.#fail(error),
      warn: (fields, message) => this.#log.logger.warn(fields, message),
      log: (lines) => {
        for (const line of lines) this.#log.write(line);
      },
    };
  }

  async #startAdmin(): Promise<void> {
    const { admin, adminTokenFile, adminTokenEnv } = this.#options;
    const address = admin === undefined ? undefined : parseAdminAddress(admin);
    if (address === undefined) return;
    const authorization = await bearerFrom(adminTokenFile, adminTokenEnv);
    const server = new AdminServer(address, authorization, this.#adminParts());
    this.#admin = server;
    this.#log.logger.info({ url: await server.start() }, 'the admin endpoint listens');
  }

  #adminParts(): AdminParts {
    const dispatcher = (): Dispatcher => this.#dispatcher as Dispatcher;
    const { logger } = this.#log;
    return {
      // What has ended is still draining for whoever asks in its last moments.
      phase: () => (this.#phase === 'ended' ? 'draining' : this.#phase),
      isConnected: () => this.#source.isConnected,
      readings: () => this.#readings(dispatcher()),
      lanes: (query) => dispatcher().lanes(query),
      pause: (merchant) => {
        if (!this.#pauses.pause(merchant)) return undefined;
        dispatcher().directoryChanged(merchant);
        logger.info({ merchant }, 'an operator has paused a merchant');
        return 'paused';
      },
      resume: (merchant) => {
        const state = this.#pauses.resume(merchant);
        if (state === undefined) return undefined;
        dispatcher().directoryChanged(merchant);
        logger.info({ merchant, state }, 'an operator has resumed a merchant');
        return state;
      },
      drain: () => {
        logger.info({}, 'an operator has asked for a drain');
        this.drain();
      },
      warn: (fields, message) => logger.warn(fields, message),
    };
  }

  #readings(dispatcher: Dispatcher): ProcessReadings {
    const { concurrency, prefetch, windowBytes } = this.#options;
    return {
      ...dispatcher.readings(),
      phase: this.#phase === 'ended' ? 'draining' : this.#phase,
      isConnected: this.#source.isConnected,
      reconnects: this.#source.reconnects,
      events: this.#source.events,
      mainUtilization: this.#mainLoop.read(),
      paused: this.#pauses.reading(),
      limits: { calls: concurrency, windowMessages: prefetch, windowBytes },
    };
  }

  #logStats(dispatcher: Dispatcher): void {
    const stats = dispatcher.snapshot();
    if (this.#options.logFormat === 'pretty') {
      this.#log.logger.info(statsLine(stats));
      return;
    }
    const { outcomes, shards, slowest, deadLettered, ...counts } = stats;
    this.#log.logger.info({ counts: { ...counts, deadLettered }, outcomes, shards, slowest }, 'stats');
  }

  /** `--drain`. */
  #endWhenEmpty(dispatcher: Dispatcher): void {
    const emptiness = new Emptiness({
      isEmpty: () => dispatcher.isEmpty,
      backlog: () => this.#source.backlog(),
      clock: systemClock,
    });
    this.#every(EMPTY_CHECK_MS, () => {
      emptiness.look().then(
        (forLong) => {
          if (forLong) this.drain();
        },
        (error: unknown) => this.#log.logger.debug({ reason: messageOf(error) }, 'the queues could not be counted'),
      );
    });
  }

  #checkConfirm(confirms: boolean): void {
    if (confirms || !this.#directory.wantsConfirm) return;
    const { merchants: file, handler } = this.#options;
    this.#log.logger.warn(
      { file, ...(handler === undefined ? {} : { handler }) },
      `merchants with "duplicates": "confirm", and ${handler === undefined ? 'no handler' : 'a handler without confirm()'}: their orders that may have been sent are parked`,
    );
  }

  #every(intervalMs: number, work: () => void): void {
    this.#timers.push(setInterval(work, intervalMs));
  }
}
