import type { Summary } from './summary.ts';

/** What was measured of one system in one run of one case. */
export interface Measured extends Partial<Isolated> {
  /** What was asked of it, such as `10 x 300 jobs`: cases are compared with nothing but themselves. */
  readonly case: string;
  readonly system: string;
  readonly orders: number;
  readonly elapsedMs: number;
  /** Of the whole process tree, over that time. */
  readonly cpuMs: number;
  /** Of the main thread of the process that was started, over that time. */
  readonly mainMs?: number;
  /** Highest resident memory since the system's start, its processes' added up. */
  readonly peakMb: number;
  /** The same after a part of the orders, where larger cases are compared with smaller ones. */
  readonly earlyPeakMb?: number;
  /** From the intended publish to the answer, where the load is an open loop. */
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** From the last answer to the end of the process. */
  readonly exitMs?: number;
  /** What kept this machine from a run that tells anything: it is no evidence for a goal or against it. */
  readonly disturbed?: string;
}

/** Of the scenario `isolation` only. */
export interface Isolated {
  /** Calls in flight, or prefetch. */
  readonly budget: number;
  /** The part of the merchants that is struck, whether they hang, slow down or drift. */
  readonly hangFraction: number;
  /** Orders a second. */
  readonly rate: number;
  /** Orders of healthy merchants that were published while the fault lasted. */
  readonly healthyPublished: number;
  readonly healthyDelivered: number;
  /** Of those and the orders after the fault, and as many in the runs without, how many were never accepted. */
  readonly healthyLate: number;
  /** Of these orders, from the intended publish to the answer; infinite when so many were not answered. */
  readonly healthyP50Ms: number;
  readonly healthyP99Ms: number;
  /** The same in the runs without a fault, before and after: the better one's. */
  readonly calmP50Ms: number;
  readonly calmP99Ms: number;
  readonly ratioP99: number;
  /** The p99 by the second of the intended publish: 20 s calm, 30 s of fault, 30 s of recovery; null where it is infinite. */
  readonly healthyP99MsBySecond: readonly (number | null)[];
  /** After the fault, while the struck merchants' backlog drains, over the same time of the runs without. */
  readonly recoveryRatioP99: number;
  /** Of bimodal merchants in the worse run without a fault: from the intended publish, over what their calls themselves took. */
  readonly bimodalRatioP99: number;
  /** The same in the run with the fault. */
  readonly bimodalInFaultRatioP99: number;
  readonly struck: {
    readonly published: number;
    readonly delivered: number;
    readonly deadLettered: number;
    readonly parked: number;
    readonly queued: number;
  };
  /** Orders of anybody that were confirmed, not accepted, and in no queue; of this and the next two, those of the runs without too. */
  readonly lost: number;
  readonly duplicateSends: number;
  readonly sentAfterDeadline: number;
  /** Of one order, as far as the system tells. */
  readonly mostHops: number;
  /** The most of this machine's CPU time that its host gave to others for 5 s, 0 to 1; of the three runs that the row is of. */
  readonly stolen: number;
  /** How often what saturates was measured until a run without a fault was calm. */
  readonly tries: number;
  /** From the fault's end to the last answer of a struck merchant's order, in seconds. */
  readonly drainedAfterS: number;
}

export interface Row extends Measured {
  readonly scenario: string;
  /** The label of the run that it comes from. */
  readonly run: string;
  readonly pair: number;
  /** When its session began: what a resumed file has from another one is no pair. */
  readonly session?: string;
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
  /** Shown while it runs; names it in the result file. */
  readonly label: string;
  /** It takes part in so many rounds at most. @default all */
  readonly rounds?: number;
  /** Tells what it is at, if that takes long. */
  readonly measure: (pair: number, tell: (what: string) => void) => Promise<readonly Measured[]>;
}

/** For what is far from the others, or takes long: a median of five would say no more. */
export function once(runs: readonly Run[]): readonly Run[] {
  return runs.map((run) => ({ ...run, rounds: 1 }));
}

export interface Scenario {
  readonly name: string;
  readonly describe: string;
  /** The first is the one that is compared and drawn. */
  readonly figures: readonly [Figure, ...Figure[]];
  runs(quick: boolean): readonly Run[];
  /** Its goals are ratios within a group of runs, so that its rounds may be of more than one machine. */
  readonly anyMachine?: boolean;
  /** Figures of others, from where they published them: beside ours in every table. */
  readonly quoted?: readonly Quoted[];
  /** In words with the value, and whether it is met; undefined where nothing was measured that tells. */
  goals(summary: Summary): readonly Goal[];
}

export interface Quoted {
  readonly case: string;
  readonly system: string;
  /** With its unit; of the scenario's first figure. */
  readonly says: string;
}

export function quotedIn({ quoted = [] }: Scenario, ofCase: string): readonly Quoted[] {
  return quoted.filter((each) => each.case === ofCase);
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
export const mainPerOrder: Figure = {
  name: 'main thread per order',
  unit: ' us',
  digits: 1,
  of: (run) => ((run.mainMs ?? Number.NaN) * 1000) / run.orders,
};
export const seconds: Figure = { name: 'time', unit: ' s', digits: 2, of: (run) => run.elapsedMs / 1000 };
export const memory: Figure = { name: 'peak memory', unit: ' MB', digits: 0, of: (run) => run.peakMb };
export const p99: Figure = { name: 'p99', unit: ' ms', digits: 0, of: (run) => run.p99Ms ?? Number.NaN };
