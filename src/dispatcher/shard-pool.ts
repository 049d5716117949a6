import { setFlagsFromString } from 'node:v8';
import type { Lane } from '../lane/lane.ts';
import type { Booted } from '../protocol.ts';
import type { ShardStats } from '../stats.ts';
import type { Entry } from './ledger.ts';
import { Shard, type ShardEvents, type ShardOptions } from './shard.ts';
import { shardOf } from './shard-key.ts';

export interface ShardPoolOptions extends Omit<ShardOptions, 'index'> {
  readonly shards: number;
}

const WATCH_MS = 100;

/**
 * What V8 would learn wrongly from calls in flight. Most of what they allocate is alive when the new space is collected, so
 * it begins to allocate such objects in the old generation: there they stay until all of it is marked, and keep alive
 * whatever they refer to. Without that an order costs a third less CPU. And a thread's heap starts with an old generation
 * so small that the calls in flight fill it, and each few hundred milliseconds all of it is marked, on all cores. With
 * thousands of calls that take seconds it is each four seconds with 128 MB, and each twelve with 256. Both are read when a
 * thread is created.
 */
const HEAP_FLAGS = ['--no-allocation-site-pretenuring', '--initial-old-space-size=256'];

/** All shards, and the watchdog over their threads. */
export class ShardPool {
  readonly #shards: readonly Shard[];
  #watchdog: NodeJS.Timeout | undefined;

  constructor(options: ShardPoolOptions, events: ShardEvents) {
    this.#shards = Array.from({ length: options.shards }, (_, index) => new Shard({ ...options, index }, events));
  }

  /** Resolves when every shard is ready; tells whether the handler can confirm. */
  async start(): Promise<{ readonly confirms: boolean }> {
    for (const flag of HEAP_FLAGS) setFlagsFromString(flag);
    const booted: Extract<Booted, { ok: true }>[] = await Promise.all(this.#shards.map((shard) => shard.start()));
    let lastTick = performance.now();
    this.#watchdog = setInterval(() => {
      const now = performance.now();
      // When this timer itself comes late, the main thread was busy, or the whole process was stopped.
      const awayMs = Math.max(0, now - lastTick - WATCH_MS);
      lastTick = now;
      for (const shard of this.#shards) shard.watch(now, awayMs);
    }, WATCH_MS);
    return { confirms: booted.every((each) => each.confirms) };
  }

  shardOf(merchantId: string): number {
    return shardOf(merchantId, this.#shards.length);
  }

  isReady(shard: number): boolean {
    return this.#shards[shard]?.isReady === true;
  }

  hasRoom(shard: number, catchesUp: boolean): boolean {
    const asked = this.#shards[shard];
    return (catchesUp ? asked?.hasRoomToCatchUp : asked?.hasRoom) === true;
  }

  /** Whether any of them has. */
  anyHasRoom(): boolean {
    return this.#shards.some((shard) => shard.hasRoom);
  }

  hand(entry: Entry): void {
    this.#shards[entry.lane.shard]?.hand(entry);
  }

  forget(lane: Lane<Entry>): void {
    this.#shards[lane.shard]?.forget(lane);
  }

  allow(hosts: readonly string[]): void {
    for (const shard of this.#shards) shard.allow(hosts);
  }

  stats(): ShardStats[] {
    return this.#shards.map((shard) => shard.stats());
  }

  /** Takes in all outcomes that threads have posted by now. */
  collect(): void {
    for (const shard of this.#shards) shard.collect();
  }

  /** Safe before start and twice. A thread in a native call that blocks does not end before that does. */
  async stop(): Promise<void> {
    clearInterval(this.#watchdog);
    await Promise.all(this.#shards.map((shard) => shard.stop()));
  }
}
