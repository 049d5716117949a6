import type { Clock } from '../../../../src/clock.ts';

/** In place of the system's clock, which takes the difference between two of them when it is loaded. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
};
