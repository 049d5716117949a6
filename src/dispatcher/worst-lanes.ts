import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { Lane } from '../lane/lane.ts';
import type { LanePage, LaneQuery, LaneSort } from '../readings.ts';
import type { Gate, LaneStats } from '../stats.ts';
import type { Lanes } from './lanes.ts';
import type { Entry } from './ledger.ts';
import { PART, Round } from './round.ts';

const SHOWN = 8;
const CANDIDATES = 64;
const SPARE = 1000;

interface Row {
  readonly lane: Lane<Entry>;
  readonly oldestMs: number;
  readonly score: number;
}

export interface WorstLanesParts {
  readonly lanes: Lanes;
  /** Orders in flight, oldest first. */
  readonly calls: () => Iterable<Entry>;
  readonly gateOf: (lane: Lane<Entry>, now: number) => Gate | undefined;
}

/**
 * The lanes that are slowest, or whose orders will wait longest, each with the gate that holds it. Whoever asks gets figures
 * of now. Where there are many lanes they are of those that were worst in the last round, because a scrape may not walk all.
 */
export class WorstLanes {
  readonly #parts: WorstLanesParts;
  #candidates: readonly Lane<Entry>[] = [];
  #round = new Ranking(CANDIDATES);

  constructor(parts: WorstLanesParts) {
    this.#parts = parts;
  }

  /** To be told of every lane in a round. */
  saw(lane: Lane<Entry>, now: number): void {
    this.#round.add(lane, 0, now);
  }

  roundIsOver(): void {
    this.#candidates = this.#round.end().map(({ lane }) => lane);
    this.#round = new Ranking(CANDIDATES);
  }

  /** A few, worst first. */
  shown(now: number): LaneStats[] {
    const { lanes, calls, gateOf } = this.#parts;
    const among = lanes.size <= PART ? new Set(lanes) : this.#suspected();
    const ranking = new Ranking(SHOWN);
    const since = oldestOf(calls(), among);
    for (const lane of among) ranking.add(lane, now - (since.get(lane) ?? now), now);
    return ranking.end().map((row) => statsOf(row, gateOf, now));
  }

  /** A page of all that have anything in them, worst first. Other work goes on while it looks. */
  async page({ merchant, contains = '', sort, offset, limit }: LaneQuery, clock: Clock): Promise<LanePage> {
    const { lanes, calls, gateOf } = this.#parts;
    const only = merchant === undefined ? undefined : lanes.byMerchant.get(merchant);
    const asked = merchant === undefined ? lanes : new Set(only === undefined ? [] : [only]);
    const since = oldestOf(calls());
    const ranking = new Ranking(offset + limit, sort);
    const round = new Round(asked);
    round.begin();
    for (;;) {
      const now = clock.now();
      for (const lane of round.part()) {
        if (lane.merchantId.includes(contains)) ranking.add(lane, now - (since.get(lane) ?? now), now);
      }
      if (round.isOver) break;
      await turn();
    }
    const rows = ranking.end().slice(offset);
    const now = clock.now();
    return { total: ranking.total, lanes: rows.map((row) => statsOf(row, gateOf, now)) };
  }

  /** Those that were worst in the last round, and those with the oldest calls. */
  #suspected(): Set<Lane<Entry>> {
    const found = new Set(this.#candidates);
    const most = found.size + CANDIDATES;
    for (const { lane } of this.#parts.calls()) {
      if (found.size >= most) break;
      found.add(lane);
    }
    return found;
  }
}

type Score = (lane: Lane<Entry>, oldestMs: number, now: number) => number;

const SCORES: Readonly<Record<LaneSort, Score>> = {
  worst: (lane, oldestMs, now) => {
    const backlog = lane.waiting + lane.out;
    const servedInMs = backlog === 0 ? 0 : Math.max(lane.opensAt(now) - now, (backlog * 1000) / lane.servesPerSecond);
    const waitedMs = now - (lane.head?.arrivedAt ?? now);
    return Math.max(oldestMs, waitedMs, lane.latencyMs, servedInMs);
  },
  waiting: ({ waiting }) => waiting,
  'in-flight': ({ inFlight }) => inFlight,
  out: ({ out }) => out,
  oldest: (_lane, oldestMs) => oldestMs,
};

/** Keeps only as many rows as are wanted, and some to spare: sorting all of 100,000 would take longer than a scrape may. */
class Ranking {
  /** Lanes that have anything in them. */
  total = 0;
  readonly #wanted: number;
  readonly #scoreOf: Score;
  readonly #rows: Row[] = [];
  /** What the last of the rows that are wanted has, once there are that many. */
  #least = Number.NEGATIVE_INFINITY;

  constructor(wanted: number, sort: LaneSort = 'worst') {
    this.#wanted = wanted;
    this.#scoreOf = SCORES[sort];
  }

  add(lane: Lane<Entry>, oldestMs: number, now: number): void {
    if (lane.isIdle) return;
    this.total++;
    const score = this.#scoreOf(lane, oldestMs, now);
    if (score <= this.#least) return;
    this.#rows.push({ lane, oldestMs, score });
    if (this.#rows.length < this.#wanted + SPARE) return;
    this.#cut();
    this.#least = this.#rows.at(-1)?.score ?? this.#least;
  }

  /** Worst first. */
  end(): readonly Row[] {
    this.#cut();
    return this.#rows;
  }

  #cut(): void {
    this.#rows.sort((a, b) => b.score - a.score);
    if (this.#rows.length > this.#wanted) this.#rows.length = this.#wanted;
  }
}

/** When the oldest call of each lane began. */
function oldestOf(calls: Iterable<Entry>, among?: ReadonlySet<Lane<Entry>>): ReadonlyMap<Lane<Entry>, number> {
  const since = new Map<Lane<Entry>, number>();
  for (const { lane, startedAt } of calls) {
    if (since.size === among?.size) break;
    if (among?.has(lane) !== false && !since.has(lane)) since.set(lane, startedAt);
  }
  return since;
}

function statsOf({ lane, oldestMs }: Row, gateOf: WorstLanesParts['gateOf'], now: number): LaneStats {
  const gate = lane.waiting + lane.out === 0 ? undefined : gateOf(lane, now);
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
