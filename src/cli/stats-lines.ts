import type { LaneStats, ShardStats, Stats } from '../stats.ts';
import type { Line } from './screen.ts';

const RATE_OVER_MS = 2_000;
const NAME_WIDTH = 19;

/** Below this many columns a lane has no place for both its speed and its failure. */
const WIDE = 100;

export function lanesHead(columns: number): string {
  const times = columns < WIDE ? '   oldest' : '  answers in oldest call';
  return `   in flight  waiting   out${times}  held by  last failure`;
}

/** Something a second, over the last readings: a single interval jumps about. */
export class Rate {
  #readings: { readonly at: number; readonly total: number }[] = [];

  next(now: number, total: number): number {
    this.#readings.push({ at: now, total });
    this.#readings = this.#readings.filter(({ at }) => now - at <= RATE_OVER_MS);
    const [first] = this.#readings;
    if (first === undefined || first.at === now) return 0;
    return ((total - first.total) * 1000) / (now - first.at);
  }
}

/** The totals, under their names. */
export function totalLines(stats: Stats, perSecond: number | undefined): Line[] {
  const { inFlight, waiting, onLadder, outcomes, retried } = stats;
  const cells: readonly (readonly [string, number])[] = [
    ...(perSecond === undefined ? [] : [['delivered/s', perSecond] as const]),
    ['in flight', inFlight],
    ['waiting', waiting],
    ['on ladder', onLadder],
    ['delivered', outcomes.delivered],
    ['retried', retried],
    ['dead', deadOf(stats)],
  ];
  const columns = (texts: readonly string[]): string => texts.map((text) => text.padStart(11)).join('');
  return [
    { text: columns(cells.map(([name]) => name)), format: 'dim' },
    { text: columns(cells.map(([, value]) => whole(value))), format: 'bold' },
  ];
}

export function shardLine(shard: ShardStats, index: number): Line {
  const restarts = shard.restarts === 0 ? '' : `   restarts ${shard.restarts}`;
  const busy = `${Math.round(shard.utilization * 100)}%`.padStart(4);
  const calls = whole(shard.inFlight).padStart(6);
  return { text: `  shard ${index}  ${shard.state.padEnd(9)} in flight ${calls}   busy ${busy}${restarts}` };
}

/** A lane under `lanesHead`; `note` stands behind the merchant's name. */
export function laneText(lane: LaneStats, columns: number, note = ''): string {
  const { merchant, inFlight, waiting, out, latencyMs, oldestMs, gate, failure } = lane;
  const cells = [
    whole(inFlight).padStart(10),
    whole(waiting).padStart(9),
    whole(out).padStart(6),
    ...(columns < WIDE ? [span(oldestMs).padStart(9)] : [span(latencyMs).padStart(12), span(oldestMs).padStart(12)]),
    `  ${(gate ?? '').padEnd(7)}  ${failure ?? ''}`,
  ];
  return `  ${`${merchant}${note}`.padEnd(NAME_WIDTH)}${cells.join('')}`;
}

export function deadOf(stats: Stats): number {
  return Object.values(stats.deadLettered).reduce((sum, count) => sum + count, 0);
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

export function span(ms: number): string {
  if (ms === 0) return '-';
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
