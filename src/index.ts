/** The public surface of the package. Nothing else is. */
import type { Options } from './options.ts';
import type { Running } from './run.ts';

export { type ErrorCode, OrderlaneError } from './errors.ts';
export {
  type Confirmation,
  type Context,
  DeliveryError,
  defineHandler,
  type Handler,
  type HandlerLog,
} from './handler.ts';
export type { Options } from './options.ts';
export type { BreakerSettings, DuplicatesPolicy, Merchant, Order } from './order.ts';
export type { DeadReason, Outcome, OutcomeKind } from './outcome.ts';
export type { Ended, Running } from './run.ts';
export type { LaneStats, ShardStats, Stats } from './stats.ts';

/**
 * Starts what `orderlane work` starts, in this process. Settings that are left out are at their defaults; a bad one is a
 * USAGE error. Signals are the caller's: see `Running.drain` and `Running.stop`.
 */
export async function run(options: Partial<Options>): Promise<Running> {
  // Loaded here, because a handler's thread imports this file too and needs none of it.
  const [{ completeOptions }, { createLog }, { start }] = await Promise.all([
    import('./options.ts'),
    import('./log.ts'),
    import('./run.ts'),
  ]);
  const complete = completeOptions(options);
  const log = createLog({ level: complete.logLevel, format: complete.logFormat, fields: complete.logFields });
  return await start(complete, log);
}
