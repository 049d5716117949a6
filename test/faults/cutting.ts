import type { Command } from '../helpers/command.ts';
import type { Action, AmqpProxy, Policy, Side } from './amqp-proxy.ts';

export const SIDES: readonly Side[] = ['client', 'broker'];
export const ROLES = ['publishing', 'consuming'] as const;
export const QUICK = { default: { latency: { distribution: 'uniform', min: '5ms', max: '60ms' } } };
/** More frames than any part of a connection's life that is swept has: a sweep that comes so far does not end. */
const MOST = 500;
const WAYS = ['cut-before', 'cut-within', 'cut-after'] as const;

/** How the nth frame is cut: before it, within it or after it. Three seeds in a row cut every frame in every way. */
export function wayOf(n: number, seed: number): Action {
  return WAYS[(n + seed) % WAYS.length] as Action;
}

/**
 * Plays n = 1, 2, 3 ... until one finds that there is no nth frame any more (false); with a `step` above 1 only every so
 * many, from `first` on. Resolves with how many were played.
 */
export async function sweep(play: (n: number) => Promise<boolean>, first = 1, step = 1): Promise<number> {
  let played = 0;
  for (let n = first; n <= MOST; n += step) {
    played++;
    if (!(await play(n))) return played;
  }
  throw new Error(`expected less than ${MOST} frames`);
}

/** Cuts at the first frame that the policy does not let pass; resolves with the milliseconds until the role is back. */
export async function cutOnce(proxy: AmqpProxy, worker: Command, role: string, policy: Policy): Promise<number> {
  const back = `${role} connection is back`;
  const before = worker.log.matching(back).length;
  let cutAt = 0;
  proxy.policy = (frame) => {
    const action = cutAt > 0 ? 'pass' : policy(frame);
    if (action !== 'pass') cutAt = performance.now();
    return action;
  };
  await proxy.until('the frame that is cut', () => cutAt > 0);
  await worker.log.nth(before + 1, back);
  proxy.pass();
  return performance.now() - cutAt;
}
