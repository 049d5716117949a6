import type { Lane } from '../lane/lane.ts';
import type { LanePage, LaneQuery } from '../readings.ts';
import type { Gate, LaneStats } from '../stats.ts';
import type { Entry } from './ledger.ts';

const SHOWN = 8;
const CANDIDATES = 64;
const SPARE = 1000;

interface Row {
  readonly lane: Lane<Entry>;
  readonly oldestMs: number;
  readonly badness: number;
}

/** The lanes that are slowest, or whose orders will wait longest, worst first, each with the gate that holds it. */
export function worstLanes(
  lanes: Iterable<Lane<Entry>>,
  entries: Iterable<Entry>,
  gateOf: (lane: Lane<Entry>) => Gate | undefined,
  now: number,
): LaneStats[] {
  const { rows } = worst(lanes, entries, now, SHOWN);
  return rows.map((row) => statsOf(row, gateOf));
}

/** More of them than are ever shown, to choose from for some seconds. */
export function candidates(lanes: Iterable<Lane<Entry>>, entries: Iterable<Entry>, now: number): Lane<Entry>[] {
  return worst(lanes, entries, now, CANDIDATES).rows.map(({ lane }) => lane);
}

/** The same, a page of it. */
export function lanePage(
  { merchant, offset, limit }: LaneQuery,
  lanes: ReadonlyMap<string, Lane<Entry>>,
  entries: Iterable<Entry>,
  gateOf: (lane: Lane<Entry>) => Gate | undefined,
  now: number,
): LanePage {
  const only = merchant === undefined ? undefined : lanes.get(merchant);
  const asked = merchant === undefined ? lanes.values() : only === undefined ? [] : [only];
  const { total, rows } = worst(asked, entries, now, offset + limit);
  return { total, lanes: rows.slice(offset).map((row) => statsOf(row, gateOf)) };
}

/** Keeps only as many rows as are wanted, and some to spare: sorting all of 100,000 would take longer than a scrape may. */
function worst(
  lanes: Iterable<Lane<Entry>>,
  entries: Iterable<Entry>,
  now: number,
  wanted: number,
): { readonly total: number; readonly rows: readonly Row[] } {
  const oldest = new Map<Lane<Entry>, number>();
  for (const { state, lane, startedAt } of entries) {
    if (state === 'in-flight') oldest.set(lane, Math.max(oldest.get(lane) ?? 0, now - startedAt));
  }
  const rows: Row[] = [];
  const most = wanted + SPARE;
  let least = Number.NEGATIVE_INFINITY;
  let total = 0;
  const cut = (): void => {
    rows.sort((a, b) => b.badness - a.badness);
    if (rows.length > wanted) rows.length = wanted;
  };
  for (const lane of lanes) {
    if (lane.isIdle) continue;
    total++;
    const oldestMs = oldest.get(lane) ?? 0;
    const backlog = lane.waiting + lane.out;
    const servedInMs = backlog === 0 ? 0 : Math.max(lane.opensAt(now) - now, (backlog * 1000) / lane.servesPerSecond);
    const waitedMs = now - (lane.head?.arrivedAt ?? now);
    const badness = Math.max(oldestMs, waitedMs, lane.latencyMs, servedInMs);
    if (badness <= least) continue;
    rows.push({ lane, oldestMs, badness });
    if (rows.length < most) continue;
    cut();
    least = rows.at(-1)?.badness ?? least;
  }
  cut();
  return { total, rows };
}

function statsOf({ lane, oldestMs }: Row, gateOf: (lane: Lane<Entry>) => Gate | undefined): LaneStats {
  const gate = lane.waiting + lane.out === 0 ? undefined : gateOf(lane);
  return {
    merchant: lane.merchantId,
    ...(gate === undefined ? {} : { gate }),
    ...(lane.failure === undefined ? {} : { failure: lane.failure }),
    inFlight: lane.inFlight,
    waiting: lane.waiting,
    out: lane.out,
    latencyMs: lane.latencyMs,
    oldestMs,
  };
}
