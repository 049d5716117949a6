import type { Delivery } from '../../../src/broker/source.ts';

export * from '../../../src/dispatcher/returns.ts';

/** What a dead process only held counts like what it may have died of. */
export function returnsOf({ returns, cameBack }: Pick<Delivery, 'returns' | 'cameBack'>): number {
  return returns + cameBack;
}
