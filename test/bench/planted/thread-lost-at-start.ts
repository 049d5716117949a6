import { ShardPool as RealShardPool, type ShardPoolOptions } from '../../../src/dispatcher/shard-pool.ts';
import type { ShardEvents } from '../../../src/dispatcher/shard.ts';
import { stage } from '../../../bench/simulation/faults/stage.ts';

export * from '../../../src/dispatcher/shard-pool.ts';

/** Of the first threads one is lost when the last has just started. */
export class ShardPool extends RealShardPool {
  readonly #lost: Promise<void>;

  constructor(options: ShardPoolOptions, events: ShardEvents) {
    const { promise, resolve } = Promise.withResolvers<void>();
    super(options, {
      ...events,
      lost: (shard, loss) => {
        events.lost(shard, loss);
        resolve();
      },
    });
    this.#lost = promise;
  }

  override async start(): Promise<{ readonly confirms: boolean }> {
    const started = await super.start();
    stage().process.threads[0]?.die('lost at start');
    await this.#lost;
    return started;
  }
}
