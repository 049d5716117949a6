import { Registry } from '@prometheus-io/client';
import { type HistogramReading, LATENCY_BOUNDS } from '../histogram.ts';
import type { ProcessReadings } from '../readings.ts';
import type { LaneStats } from '../stats.ts';
import { USABLE } from '../window.ts';

type Labels = Readonly<Record<string, string>>;
type Samples = readonly (readonly [labels: Labels, value: number])[];

export type Metric = { readonly name: string; readonly help: string } & (
  | { readonly type: 'counter' | 'gauge'; readonly read: (readings: ProcessReadings) => number | Samples }
  | { readonly type: 'histogram'; readonly read: (readings: ProcessReadings) => HistogramReading }
);

function byKey(label: string, counts: Readonly<Record<string, number>>): Samples {
  return Object.entries(counts).map(([key, count]) => [{ [label]: key }, count]);
}

/** Of the worst lanes those whose orders wait: who is worst when all is well changes all the time, and each would be a new series. */
function byMerchant({ stats }: ProcessReadings, read: (lane: LaneStats) => number): Samples {
  return stats.slowest
    .filter(({ waiting, out }) => waiting + out > 0)
    .map((lane) => [{ merchant: lane.merchant }, read(lane)]);
}

/**
 * Every metric, in the order of `/metrics`. Names and help are a contract. Merchants are no labels, but for the few worst
 * lanes: a label for each would be as many series as there are merchants.
 */
export const METRICS: readonly Metric[] = [
  {
    name: 'orderlane_orders_received_total',
    help: 'Orders that arrived from the broker, redeliveries of what was in hand not counted.',
    type: 'counter',
    read: ({ stats }) => stats.received,
  },
  {
    name: 'orderlane_outcomes_total',
    help: 'Orders settled, by what the attempt, or the decision not to make one, came to.',
    type: 'counter',
    read: ({ stats }) => byKey('outcome', stats.outcomes),
  },
  {
    name: 'orderlane_attempts_total',
    help: 'Orders handed to a thread to be sent.',
    type: 'counter',
    read: ({ attempts }) => attempts,
  },
  {
    name: 'orderlane_retries_total',
    help: 'Orders sent to the ladder of delay queues for another attempt.',
    type: 'counter',
    read: ({ stats }) => stats.retried,
  },
  {
    name: 'orderlane_deferrals_total',
    help: 'Orders sent to the ladder of delay queues without an attempt.',
    type: 'counter',
    read: ({ stats }) => stats.deferred,
  },
  {
    name: 'orderlane_dead_letters_total',
    help: 'Orders that went to the dead queue, by reason.',
    type: 'counter',
    read: ({ stats }) => byKey('reason', stats.deadLettered),
  },
  {
    name: 'orderlane_ambiguous_parked_total',
    help: 'Orders that may have been sent and wait in the ambiguous queue for a person.',
    type: 'counter',
    read: ({ stats }) => stats.parked,
  },
  {
    name: 'orderlane_redeliveries_joined_total',
    help: 'Redeliveries of a copy in hand or already settled, which were not sent again.',
    type: 'counter',
    read: ({ stats }) => stats.joined,
  },
  {
    name: 'orderlane_order_duration_seconds',
    help: 'From publish to the end of an order: delivered, dead-lettered or parked.',
    type: 'histogram',
    read: ({ settled }) => settled,
  },
  {
    name: 'orderlane_lane_wait_seconds',
    help: "From an order's arrival until it was handed to its thread.",
    type: 'histogram',
    read: ({ waited }) => waited,
  },
  {
    name: 'orderlane_call_duration_seconds',
    help: 'From the hand-over of an order to its thread until its outcome came back.',
    type: 'histogram',
    read: ({ called }) => called,
  },
  {
    name: 'orderlane_orders_in_flight',
    help: 'Orders in the hands of threads.',
    type: 'gauge',
    read: ({ stats }) => stats.inFlight,
  },
  {
    name: 'orderlane_orders_over_age',
    help: "Orders in flight for longer than their merchant's normal.",
    type: 'gauge',
    read: ({ stats }) => stats.overAge,
  },
  {
    name: 'orderlane_orders_waiting',
    help: 'Orders that wait in their lanes.',
    type: 'gauge',
    read: ({ stats }) => stats.waiting,
  },
  {
    name: 'orderlane_orders_out',
    help: 'Orders of this process on the ladder of delay queues, which come back.',
    type: 'gauge',
    read: ({ stats }) => stats.onLadder,
  },
  {
    name: 'orderlane_orders_unsettled',
    help: 'Orders in hand: in flight, waiting, or on their way out.',
    type: 'gauge',
    read: ({ stats }) => stats.unsettled,
  },
  {
    name: 'orderlane_unsettled_bytes',
    help: 'Size of the bodies of the orders in hand.',
    type: 'gauge',
    read: ({ stats }) => stats.unsettledBytes,
  },
  {
    name: 'orderlane_orders_in_flight_limit',
    help: 'The most that may be in flight: --concurrency.',
    type: 'gauge',
    read: ({ limits }) => limits.calls,
  },
  {
    name: 'orderlane_orders_unsettled_limit',
    help: 'The most that may be in hand: --prefetch.',
    type: 'gauge',
    read: ({ limits }) => limits.windowMessages,
  },
  {
    name: 'orderlane_unsettled_limit_bytes',
    help: 'The most that their bodies may take: --window-bytes.',
    type: 'gauge',
    read: ({ limits }) => limits.windowBytes,
  },
  {
    name: 'orderlane_budget_used_ratio',
    help: `What is taken of each of these three limits, 0 to 1: calls, window_messages, window_bytes (of the ${USABLE} of --window-bytes that orders are asked for: up to ${Math.ceil(100 / USABLE) / 100}).`,
    type: 'gauge',
    read: ({ stats, limits }) => [
      [{ budget: 'calls' }, stats.inFlight / limits.calls],
      [{ budget: 'window_messages' }, stats.unsettled / limits.windowMessages],
      [{ budget: 'window_bytes' }, stats.unsettledBytes / (limits.windowBytes * USABLE)],
    ],
  },
  {
    name: 'orderlane_oldest_unsettled_age_seconds',
    help: 'How long the oldest order in hand has been there; 0 without one.',
    type: 'gauge',
    read: ({ oldestUnsettledMs }) => oldestUnsettledMs / 1000,
  },
  {
    name: 'orderlane_oldest_eligible_age_seconds',
    help: 'How long the oldest order has waited that no gate of its own merchant holds; 0 without one.',
    type: 'gauge',
    read: ({ oldestEligibleMs }) => oldestEligibleMs / 1000,
  },
  {
    name: 'orderlane_lanes',
    help: 'Merchants that have a lane in memory.',
    type: 'gauge',
    read: ({ stats }) => stats.merchants,
  },
  {
    name: 'orderlane_merchants_paused',
    help: 'Merchants that an operator has paused here, and nobody has resumed; those of the directory not counted.',
    type: 'gauge',
    read: ({ paused }) => paused.count,
  },
  {
    name: 'orderlane_broker_connected',
    help: 'Whether both connections to the broker are open: 1 or 0.',
    type: 'gauge',
    read: ({ isConnected }) => Number(isConnected),
  },
  {
    name: 'orderlane_broker_reconnects_total',
    help: 'Connections to the broker that replaced a lost one.',
    type: 'counter',
    read: ({ reconnects }) => reconnects,
  },
  {
    name: 'orderlane_outcome_events_total',
    help: 'Outcome events that the broker has confirmed.',
    type: 'counter',
    read: ({ events }) => events.confirmed,
  },
  {
    name: 'orderlane_outcome_event_refusals_total',
    help: 'How often the broker refused an outcome event; its order stays unsettled, and it is published again.',
    type: 'counter',
    read: ({ events }) => events.refused,
  },
  {
    name: 'orderlane_thread_ready',
    help: "Whether a shard's thread takes orders: 1 or 0.",
    type: 'gauge',
    read: ({ stats }) => stats.shards.map(({ state }, shard) => [{ shard: String(shard) }, Number(state === 'ready')]),
  },
  {
    name: 'orderlane_thread_restarts_total',
    help: 'Threads lost and replaced, by shard.',
    type: 'counter',
    read: ({ stats }) => stats.shards.map(({ restarts }, shard) => [{ shard: String(shard) }, restarts]),
  },
  {
    name: 'orderlane_event_loop_utilization_ratio',
    help: 'Share of time an event loop was busy lately, 0 to 1; main, or the number of a shard.',
    type: 'gauge',
    read: ({ stats, mainUtilization }) => [
      [{ thread: 'main' }, mainUtilization],
      ...stats.shards.map(({ utilization }, shard) => [{ thread: String(shard) }, utilization] as const),
    ],
  },
  {
    name: 'orderlane_worst_lane_waiting',
    help: 'Orders that wait, of the worst lanes that have any here or on the ladder: eight merchants at most.',
    type: 'gauge',
    read: (readings) => byMerchant(readings, ({ waiting }) => waiting),
  },
  {
    name: 'orderlane_worst_lane_out',
    help: 'Orders on the ladder, of the worst lanes that have any there or waiting: eight merchants at most.',
    type: 'gauge',
    read: (readings) => byMerchant(readings, ({ out }) => out),
  },
  {
    name: 'process_cpu_seconds_total',
    help: 'CPU time of all threads.',
    type: 'counter',
    read: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  },
  {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of all threads.',
    type: 'gauge',
    read: residentBytes,
  },
];

/** Node reads it from /proc; a container or chroot without that has no such figure, and all the others. */
function residentBytes(): number | Samples {
  try {
    return process.memoryUsage.rss();
  } catch {
    return [];
  }
}

interface Value {
  readonly metricName?: string;
  readonly labels: Labels | { readonly le: number | '+Inf' };
  readonly value: number;
}

/** The registry that `/metrics` prints. The client library writes the format; the values stay where they are counted. */
export function registryOf(read: () => ProcessReadings): { print(): Promise<string>; readonly contentType: string } {
  const registry = new Registry();
  let readings: ProcessReadings | undefined;
  for (const metric of METRICS) {
    const get = (): object => ({
      name: metric.name,
      help: metric.help,
      type: metric.type,
      aggregator: 'sum',
      values: valuesOf(metric, readings as ProcessReadings),
    });
    // The library's type wants one of its own classes, which count by themselves; it uses name and get alone.
    registry.registerMetric({ name: metric.name, get } as never);
  }
  return {
    contentType: registry.contentType,
    print: () => {
      readings = read();
      return registry.metrics();
    },
  };
}

function valuesOf(metric: Metric, readings: ProcessReadings): Value[] {
  if (metric.type === 'histogram') return bucketsOf(metric.name, metric.read(readings));
  const read = metric.read(readings);
  return typeof read === 'number' ? [{ labels: {}, value: read }] : read.map(([labels, value]) => ({ labels, value }));
}

function bucketsOf(name: string, { counts, sum }: HistogramReading): Value[] {
  let below = 0;
  const buckets = counts.map((count, index): Value => {
    below += count;
    return { metricName: `${name}_bucket`, labels: { le: LATENCY_BOUNDS[index] ?? '+Inf' }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: {}, value: sum },
    { metricName: `${name}_count`, labels: {}, value: below },
  ];
}
