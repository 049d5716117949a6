import type { Peer } from './peer.ts';

/** One question, asked of orderlane and of a baseline in the same run. */
export interface Scenario {
  readonly name: string;
  readonly describe: string;
  /** Orders that come first and are not measured: start and compilation are not what is asked. */
  readonly warmup: number;
  readonly orders: number;
  readonly quickOrders: number;
  readonly merchants: number;
  readonly concurrency: number;
  /** Whether orders go to simulated merchants over HTTP. */
  readonly sends: boolean;
  readonly peer: Peer;
  readonly baseline: Peer;
  /** The figure of one run that is compared. */
  readonly figure: { readonly name: string; readonly unit: string; readonly digits: number; of(run: Measured): number };
  /** What must hold of the medians, in words and as a test. */
  readonly goals: readonly Goal[];
}

/** What was measured of one system in one run. */
export interface Measured {
  readonly system: string;
  readonly orders: number;
  /** From the first order after the warm-up to the end of the last. */
  readonly elapsedMs: number;
  /** Of the whole process tree, from the first order after the warm-up to the last. */
  readonly cpuMs: number;
  readonly peakMb: number;
}

export interface Goal {
  readonly says: string;
  /** `ratio` is the median, over the pairs, of orderlane's figure over the baseline's. */
  met(ratio: number, medianOf: (figure: (run: Measured) => number) => number): boolean;
}
