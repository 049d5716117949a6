import { ShardPool } from '../../dispatcher/shard-pool.ts';
import { messageOf } from '../../errors.ts';
import type { Options } from '../../options.ts';
import { shardPoolOptions } from '../../run-options.ts';
import { fail, type Finding, ok } from './finding.ts';

export interface HandlerLook {
  readonly finding: Finding;
  /** Whether it can say if an order has arrived. */
  readonly confirms: boolean;
}

/** Starts one shard as `work` would, with the handler in its thread, and ends it. */
export async function handlerCheck(options: Options, allowHosts: readonly string[]): Promise<HandlerLook> {
  const { handler } = options;
  const check = 'handler';
  const asWork = shardPoolOptions(options, { allowHosts });
  const one = { ...asWork, shards: 1, slots: 1, boot: { ...asWork.boot, answers: false, logLevel: 'silent' } };
  const nothing = (): void => undefined;
  const events = { outcome: nothing, turn: nothing, lost: nothing, ready: nothing, log: nothing, warn: nothing };
  const crashed = Promise.withResolvers<never>();
  const pool = new ShardPool(one, { ...events, failed: crashed.reject });
  try {
    const { confirms } = await Promise.race([pool.start(), crashed.promise]);
    if (handler === undefined) return { confirms, finding: ok(check, 'none: orders are posted as they are') };
    const can = confirms ? 'deliver and confirm' : 'deliver';
    return { confirms, finding: ok(check, `${handler} loads in a thread; it has ${can}`) };
  } catch (error) {
    const fix =
      'see that it loads by itself, with what it imports, on this machine; docs/handlers.md says what it must export';
    return { confirms: false, finding: fail(check, messageOf(error), fix) };
  } finally {
    await pool.stop();
  }
}
