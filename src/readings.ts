import type { HistogramReading } from './histogram.ts';
import type { LaneStats, Stats } from './stats.ts';

/** What the dispatcher can be asked for besides its statistics. Ages are 0 when there is no such order. */
export interface Readings {
  readonly stats: Stats;
  /** From publish to the end. */
  readonly settled: HistogramReading;
  /** From arrival to the shard. */
  readonly waited: HistogramReading;
  /** From the shard and back. */
  readonly called: HistogramReading;
  /** Orders handed to a shard. */
  readonly attempts: number;
  /** How long the oldest order has been in hand. */
  readonly oldestUnsettledMs: number;
  /** How long the oldest order has waited that no gate of its own merchant holds. */
  readonly oldestEligibleMs: number;
}

/** What is known of the process around it. */
export interface ProcessReadings extends Readings {
  readonly phase: Phase;
  readonly isConnected: boolean;
  /** Connections to the broker that replaced a lost one. */
  readonly reconnects: number;
  /** Outcome events that the broker has confirmed, and how often it has refused one. */
  readonly events: { readonly confirmed: number; readonly refused: number };
  /** Share of time the main thread's event loop was busy, 0 to 1. */
  readonly mainUtilization: number;
  /** Merchants that an operator has paused, and nobody has resumed. */
  readonly paused: PauseReading;
  readonly limits: { readonly calls: number; readonly windowMessages: number; readonly windowBytes: number };
}

export interface PauseReading {
  readonly count: number;
  /** The first few of them. */
  readonly first: readonly string[];
}

export type Phase = 'starting' | 'running' | 'draining';

export interface LanePage {
  /** Lanes that were meant and have anything in them. */
  readonly total: number;
  readonly lanes: readonly LaneStats[];
}

/** What a page of lanes can be ranked by; `worst` is by the slowest answers and the longest waits. */
export const LANE_SORTS = ['worst', 'waiting', 'in-flight', 'out', 'oldest'] as const;

export type LaneSort = (typeof LANE_SORTS)[number];

export interface LaneQuery {
  /** This merchant's lane alone. */
  readonly merchant?: string;
  /** Only merchants whose ID contains this. */
  readonly contains?: string;
  /** @default worst */
  readonly sort?: LaneSort;
  readonly offset: number;
  readonly limit: number;
}
