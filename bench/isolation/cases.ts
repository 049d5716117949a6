import { merchantName } from '../../src/sim/orders.ts';
import { seeded } from '../../src/sim/random.ts';

/** What becomes of struck merchants: they accept the connection and never answer, answer after 5 s, or drift from 80 ms to 6 s. */
export const FAULTS = ['hang', 'slow', 'drift'] as const;
export type Fault = (typeof FAULTS)[number];

export interface Case {
  /** Orders a second; or the part of what saturates this machine. */
  readonly rate: { readonly perSecond: number } | { readonly ofSaturation: number };
  /** Calls in flight, or prefetch. */
  readonly budget: number;
  /** The part of the merchants that is struck. */
  readonly struck: number;
  readonly faults: readonly Fault[];
  /** The goal: healthy p99 over that of the run without the fault. */
  readonly most: number;
}

const SIZES = [
  { budget: 1000, struck: 0.1 },
  { budget: 2000, struck: 0.3 },
  { budget: 4000, struck: 0.5 },
];

export const CASES: readonly Case[] = [
  { rate: { perSecond: 300 }, budget: 200, struck: 0.1, faults: ['hang'], most: 1.3 },
  ...SIZES.map((size) => ({ rate: { perSecond: 300 }, ...size, faults: FAULTS, most: 1.15 })),
  ...SIZES.map((size) => ({ rate: { ofSaturation: 0.7 }, ...size, faults: FAULTS, most: 1.15 })),
];

export const MERCHANTS = 1000;
/** In seconds, one after the other. */
export const CALM_S = 20;
export const FAULT_S = 30;
export const RECOVERY_S = 30;
export const RUN_S: number = CALM_S + FAULT_S + RECOVERY_S;
/** Always 90% 100 ms, 10% 3 s, and never struck; one of the busier ones among them. */
const BIMODAL = 20;
/** Of what a call takes, log-normal. */
export const MEDIAN_MS = 80;
const SIGMA = 0.5;
/** The 99th percentile of a standard normal distribution is 2.326. */
export const CALL_P99_MS: number = MEDIAN_MS * Math.exp(2.326 * SIGMA);
const SLOW_MS = 5_000;
const DRIFT_MS = 6_000;
const STEP_S = 1;

export interface Cast {
  readonly struck: ReadonlySet<string>;
  readonly bimodal: ReadonlySet<string>;
}

/** The second busiest is struck and the fifth busiest bimodal; the others by lot. */
export function castOf(part: number, seed: number): Cast {
  const random = seeded(seed);
  const draw = (first: number, count: number, taken: ReadonlySet<string>): Set<string> => {
    const drawn = new Set([merchantName(first)]);
    while (drawn.size < count) {
      const name = merchantName(Math.floor(random() * MERCHANTS));
      if (!taken.has(name)) drawn.add(name);
    }
    return drawn;
  };
  const bimodal = draw(4, BIMODAL, new Set([merchantName(1)]));
  return { bimodal, struck: draw(1, MERCHANTS * part, bimodal) };
}

/** For the simulated merchants; its times count from when it is set. */
export function scenarioOf(fault: Fault | undefined, { struck, bimodal }: Cast, seed: number): object {
  const merchants = { ids: [...struck] };
  const until = `${CALM_S + FAULT_S}s`;
  const slow = (median: number): object => ({
    latency: { distribution: 'log-normal', median: `${Math.round(median)}ms`, sigma: 0.3 },
  });
  const rules: object[] = [
    {
      merchants: { ids: [...bimodal] },
      latency: { distribution: 'bimodal', fast: '100ms', slow: '3s', slowFraction: 0.1 },
    },
  ];
  if (fault === 'hang') rules.push({ merchants, from: `${CALM_S}s`, until, silent: true });
  if (fault === 'slow') rules.push({ merchants, from: `${CALM_S}s`, until, ...slow(SLOW_MS) });
  if (fault === 'drift') {
    for (let at = 0; at < FAULT_S; at += STEP_S) {
      const median = MEDIAN_MS + (DRIFT_MS - MEDIAN_MS) * ((at + STEP_S) / FAULT_S);
      rules.push({ merchants, from: `${CALM_S + at}s`, until: `${CALM_S + at + STEP_S}s`, ...slow(median) });
    }
  }
  return { seed, default: { latency: { distribution: 'log-normal', median: `${MEDIAN_MS}ms`, sigma: SIGMA } }, rules };
}
