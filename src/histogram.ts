/** Upper bounds of the latency buckets, in seconds: from a call on the same machine to a time-out of a minute. */
export const LATENCY_BOUNDS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60];

export interface HistogramReading {
  /** By bucket, each counted once; the last one is what is above all bounds. */
  readonly counts: readonly number[];
  /** In seconds. */
  readonly sum: number;
}

const BOUNDS_MS = Float64Array.from(LATENCY_BOUNDS, (seconds) => seconds * 1000);

/** Latencies in fixed buckets. Fed once an order on the main thread, so it allocates nothing and knows no labels. */
export class Histogram {
  readonly #counts = new Float64Array(BOUNDS_MS.length + 1);
  #sumMs = 0;

  /** Clocks of publishers may be ahead of ours: less than nothing counts as nothing. */
  observe(ms: number): void {
    const value = ms > 0 ? ms : 0;
    let bucket = 0;
    while (bucket < BOUNDS_MS.length && value > (BOUNDS_MS[bucket] as number)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#sumMs += value;
  }

  reading(): HistogramReading {
    return { counts: [...this.#counts], sum: this.#sumMs / 1000 };
  }
}
