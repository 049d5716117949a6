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

export interface Sweep {
  /** @default 1 */
  readonly first?: number;
  /** Only every so many are played. @default 1 */
  readonly step?: number;
  /** So many are played beside each other. @default 1 */
  readonly places?: number;
}

/**
 * Plays n = 1, 2, 3 ... until one finds that there is no nth frame any more (false), each at one of the places. Resolves
 * with how many were played.
 */
export async function sweep(
  play: (n: number, place: number) => Promise<boolean>,
  { first = 1, step = 1, places = 1 }: Sweep = {},
): Promise<number> {
  let played = 0;
  let isOver = false;
  const playAt = async (place: number): Promise<void> => {
    try {
      while (!isOver) {
        const n = first + step * played++;
        if (n > MOST) throw new Error(`expected less than ${MOST} frames`);
        isOver = !(await play(n, place)) || isOver;
      }
    } catch (error) {
      isOver = true; // the others are to begin nothing more
      throw error;
    }
  };
  await Promise.all(Array.from({ length: places }, (_, place) => playAt(place)));
  return played;
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
