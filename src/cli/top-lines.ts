import { formatByteSize } from '../byte-size.ts';
import type { ProcessReadings } from '../readings.ts';
import type { LaneStats } from '../stats.ts';
import type { Line } from './screen.ts';
import { laneText, lanesHead, shardLine, span, totalLines, whole } from './stats-lines.ts';

/** What lanes can be sorted by; `worst` is the process's own order. */
export const SORTS = ['worst', 'waiting', 'in-flight', 'out', 'oldest', 'merchant'] as const;

export type Sort = (typeof SORTS)[number];

export interface TopView {
  readonly stats: ProcessReadings;
  readonly lanes: readonly LaneStats[];
  /** Lanes there are by this filter, shown or not. */
  readonly total: number;
  readonly sort: Sort;
  readonly filter: string;
  /** The filter is being typed; absent where there are no keys. */
  readonly typing?: boolean;
  readonly perSecond?: number;
  /** Of the terminal; without one, a page of any length that is wide enough for everything. */
  readonly size?: { readonly columns: number; readonly rows: number };
  /** Why what is shown is old. */
  readonly trouble?: string | undefined;
}

const BAR = 20;

const COMPARE: Readonly<Record<Sort, (a: LaneStats, b: LaneStats) => number>> = {
  worst: () => 0,
  waiting: (a, b) => b.waiting - a.waiting,
  'in-flight': (a, b) => b.inFlight - a.inFlight,
  out: (a, b) => b.out - a.out,
  oldest: (a, b) => b.oldestMs - a.oldestMs,
  merchant: (a, b) => a.merchant.localeCompare(b.merchant, 'en', { numeric: true }),
};

export function sorted(lanes: readonly LaneStats[], sort: Sort, filter: string): LaneStats[] {
  return lanes.filter(({ merchant }) => merchant.includes(filter)).toSorted(COMPARE[sort]);
}

/** All that `orderlane top` shows. */
export function topLines(view: TopView): Line[] {
  const { stats: readings, lanes, total, sort, filter, typing, perSecond, trouble } = view;
  const { columns, rows } = view.size ?? { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY };
  const { stats, phase, isConnected, reconnects, limits } = readings;
  const broker = `broker ${isConnected ? 'connected' : 'NOT CONNECTED'}`;
  const again = reconnects > 0 ? `   reconnects to the broker ${whole(reconnects)}` : '';
  const keys = typing === undefined ? '' : '   s sort   / filter   q quit';
  const dead = Object.entries(stats.deadLettered).filter(([, count]) => count > 0);
  const lines: Line[] = [
    { text: `orderlane top   ${phase}   ${broker}${keys}`, format: isConnected ? 'bold' : 'yellow' },
    ...(trouble === undefined ? [] : [{ text: `  what follows is old: ${trouble}`, format: 'yellow' } as const]),
    { text: '' },
    ...totalLines(stats, perSecond),
    { text: '' },
    fill('calls', stats.inFlight, limits.calls, whole),
    fill('window', stats.unsettled, limits.windowMessages, whole),
    fill('bytes', stats.unsettledBytes, limits.windowBytes, size),
    {
      text: `  oldest   in hand ${span(readings.oldestUnsettledMs)}   kept waiting by us ${span(readings.oldestEligibleMs)}`,
    },
    { text: '' },
    ...stats.shards.map(shardLine),
    { text: `  main     busy ${Math.round(readings.mainUtilization * 100)}%${again}` },
  ];
  if (dead.length > 0 || stats.parked > 0) {
    const parts = [...dead, ...(stats.parked > 0 ? [['parked', stats.parked] as const] : [])];
    lines.push({ text: `  dead     ${parts.map(([reason, count]) => `${whole(count)} ${reason}`).join('   ')}` });
  }
  const { count, first } = readings.paused;
  if (count > 0) {
    const more = count > first.length ? ` and ${whole(count - first.length)} more` : '';
    lines.push({ text: `  paused   by hand: ${first.join(', ')}${more}`, format: 'yellow' });
  }
  const { confirmed, refused } = readings.events;
  if (refused > 0) {
    const text = `  events   ${whole(confirmed)} confirmed   ${whole(refused)} refused by the broker, and published again`;
    lines.push({ text, format: 'yellow' });
  } else if (confirmed > 0) lines.push({ text: `  events   ${whole(confirmed)} confirmed` });
  if (stats.pressure !== undefined) lines.push({ text: `  ${stats.pressure}`, format: 'yellow' });
  const which = filter === '' && typing !== true ? '' : `, with "${filter}${typing === true ? '_' : ''}" in the name`;
  const some = sort === 'merchant' && lanes.length < total ? ', the worst,' : '';
  // A gap and two lines of heading come before them.
  const seen = lanes.slice(0, Math.max(0, rows - lines.length - 3));
  lines.push(
    { text: '' },
    { text: `  ${whole(seen.length)} of ${whole(total)} lanes${some} by ${sort}${which}`, format: 'bold' },
    { text: `  ${'merchant'.padEnd(18)}${lanesHead(columns).slice(2)}`, format: 'dim' },
    ...seen.map((lane): Line => {
      const text = laneText(lane, columns);
      return lane.gate === undefined ? { text } : { text, format: 'yellow' };
    }),
  );
  return lines;
}

function fill(name: string, used: number, limit: number, show: (value: number) => string): Line {
  const share = Math.min(1, used / limit);
  const bar = '#'.repeat(Math.ceil(share * BAR)).padEnd(BAR, '.');
  const text = `  ${name.padEnd(8)} [${bar}] ${`${Math.floor(share * 100)}%`.padStart(4)}   ${show(used)} of ${show(limit)}`;
  return share >= 1 ? { text, format: 'yellow' } : { text };
}

function size(bytes: number): string {
  const rounded = bytes >= 2 ** 20 ? Math.round(bytes / 2 ** 20) * 2 ** 20 : Math.round(bytes / 1024) * 1024;
  return bytes < 1024 ? formatByteSize(bytes) : formatByteSize(rounded);
}
