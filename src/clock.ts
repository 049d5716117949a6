/**
 * Two readings of time. Everything inside compares `now()`, which never steps; `wall()` is only for what leaves or enters
 * the process: headers, logs, deadlines that a publisher wrote.
 */
export interface Clock {
  /** Monotonic milliseconds, the same scale on every thread of the process. */
  now(): number;
  /** Milliseconds since the epoch. */
  wall(): number;
}

// performance.now() counts from each thread's own start; process.hrtime() is one scale for all of them, but allocates.
// So the difference is taken once a thread.
const [seconds, nanoseconds] = process.hrtime();
const offsetMs = seconds * 1000 + nanoseconds / 1e6 - performance.now();

export const systemClock: Clock = {
  now: () => performance.now() + offsetMs,
  wall: () => Date.now(),
};
