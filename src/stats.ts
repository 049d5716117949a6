import type { DeadReason, OutcomeKind } from './outcome.ts';

export interface ShardStats {
  readonly inFlight: number;
  /** `ready` takes orders; anything else does not. `still`: it has a thread, whose event loop stands still. */
  readonly state: 'starting' | 'ready' | 'still' | 'down' | 'stopped';
  readonly restarts: number;
  /** Share of time its event loop was busy since the last reading, 0 to 1. */
  readonly utilization: number;
}

/** What keeps a lane with orders in it from starting the next one. */
export type Gate =
  | 'budget'
  | 'alone'
  | 'share'
  | 'suspect'
  | 'slow'
  | 'shard'
  | 'pause'
  | 'breaker'
  | 'hold'
  | 'rate'
  | 'limit';

export interface LaneStats {
  readonly merchant: string;
  /** Absent when nothing waits or is on the ladder, or the next order may start. */
  readonly gate?: Gate;
  /** Why its last attempt failed; absent once an order was delivered. */
  readonly failure?: string;
  /** Orders of its on the ladder that come back. */
  readonly out: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** Smoothed latency of answered calls, in milliseconds; 0 when none was answered yet. */
  readonly latencyMs: number;
  /** How long its oldest call in flight has been under way, in milliseconds. */
  readonly oldestMs: number;
}

/** What a running process says of itself; the `stats` log line. Totals count since start. */
export interface Stats {
  /** Orders that arrived, redeliveries of what was in hand not counted. */
  readonly received: number;
  readonly outcomes: Readonly<Record<OutcomeKind, number>>;
  readonly retried: number;
  readonly deferred: number;
  readonly deadLettered: Readonly<Record<DeadReason, number>>;
  readonly parked: number;
  /** Redeliveries of a copy that was still in hand or already settled. */
  readonly joined: number;
  readonly inFlight: number;
  /** Calls in flight for longer than their merchant's normal. */
  readonly overAge: number;
  readonly waiting: number;
  /** That the budget is too small for the load, in words; absent when it is not. */
  readonly pressure?: string;
  /** Deliveries that the broker has not been told the end of. */
  readonly unsettled: number;
  readonly unsettledBytes: number;
  /** Orders of ours that are on the ladder. */
  readonly onLadder: number;
  readonly merchants: number;
  readonly shards: readonly ShardStats[];
  /** The lanes with the longest calls or queues, worst first. */
  readonly slowest: readonly LaneStats[];
}

/** The figures in one line for a person: totals since start, and the merchant that is worst off. */
export function statsLine(stats: Stats): string {
  const { inFlight, waiting, onLadder, outcomes, retried, deadLettered, parked, slowest, pressure } = stats;
  const dead = Object.values(deadLettered).reduce((sum, count) => sum + count, 0);
  const parts = [
    `in flight ${inFlight}  waiting ${waiting}  on the ladder ${onLadder}  delivered ${outcomes.delivered}`,
  ];
  parts.push(`retried ${retried}  dead-lettered ${dead}`);
  if (parked > 0) parts.push(`parked ${parked}`);
  const [worst] = slowest;
  if (worst !== undefined && (worst.gate !== undefined || worst.failure !== undefined)) {
    const why = [worst.gate === undefined ? undefined : `held by ${worst.gate}`, worst.failure];
    const held = `waiting ${worst.waiting}, out ${worst.out}`;
    parts.push(`worst ${worst.merchant} (${held}, ${why.filter((each) => each !== undefined).join(': ')})`);
  }
  if (pressure !== undefined) parts.push(pressure);
  return parts.join('  ');
}
