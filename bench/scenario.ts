import type { Summary } from './summary.ts';

/** What was measured of one system in one run of one case. */
export interface Measured {
  /** What was asked of it, such as `10 x 300 jobs`: cases are compared with nothing but themselves. */
  readonly case: string;
  readonly system: string;
  readonly orders: number;
  readonly elapsedMs: number;
  /** Of the whole process tree, over that time. */
  readonly cpuMs: number;
  /** Highest resident memory since the system's start, its processes' added up. */
  readonly peakMb: number;
  /** From the intended publish to the answer, where the load is an open loop. */
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** From the last answer to the end of the process. */
  readonly exitMs?: number;
}

export interface Row extends Measured {
  readonly scenario: string;
  readonly pair: number;
}

/** A figure of a run. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly digits: number;
  of(run: Measured): number;
}

/** One system on one stage; a run may answer several cases. */
export interface Run {
  readonly system: string;
  /** Shown while it runs. */
  readonly label: string;
  readonly measure: (pair: number) => Promise<readonly Measured[]>;
}

export interface Scenario {
  readonly name: string;
  readonly describe: string;
  /** The first is the one that is compared and drawn. */
  readonly figures: readonly [Figure, ...Figure[]];
  runs(quick: boolean): readonly Run[];
  /** In words with the value, and whether it is met; undefined where nothing was measured that tells. */
  goals(summary: Summary): readonly Goal[];
}

export interface Goal {
  readonly says: string;
  readonly met: boolean | undefined;
}

export const perSecond: Figure = {
  name: 'orders a second',
  unit: '/s',
  digits: 0,
  of: (run) => (run.orders * 1000) / run.elapsedMs,
};
export const cpuPerOrder: Figure = {
  name: 'CPU per order',
  unit: ' us',
  digits: 0,
  of: (run) => (run.cpuMs * 1000) / run.orders,
};
export const seconds: Figure = { name: 'time', unit: ' s', digits: 2, of: (run) => run.elapsedMs / 1000 };
export const memory: Figure = { name: 'peak memory', unit: ' MB', digits: 0, of: (run) => run.peakMb };
export const p99: Figure = { name: 'p99', unit: ' ms', digits: 0, of: (run) => run.p99Ms ?? Number.NaN };
