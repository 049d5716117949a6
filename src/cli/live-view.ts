import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';
import { type Stats, statsLine } from '../stats.ts';

const PLAIN_EVERY_MS = 5_000;
const RATE_OVER_MS = 2_000;

const ROWS = 6;

type Format = 'bold' | 'dim' | 'yellow';

interface Line {
  readonly text: string;
  readonly format?: Format;
}

interface Reading {
  readonly at: number;
  readonly delivered: number;
}

/**
 * What a worker does, live: drawn over itself on a terminal, a line every few seconds elsewhere. What is drawn is cut to
 * the terminal's size, because a wrapped line, or one that has scrolled away, cannot be drawn over.
 */
export class LiveView {
  readonly #out: NodeJS.WriteStream;
  readonly #durationMs: number;
  readonly #begun = performance.now();
  #readings: Reading[] = [];
  #drawn = 0;
  #plainAt = 0;
  #startedAt: number | undefined;

  constructor(out: NodeJS.WriteStream, durationMs: number) {
    this.#out = out;
    this.#durationMs = durationMs;
  }

  /** A line that stays. */
  say(text: string): void {
    this.#erase();
    this.#out.write(`${this.#style('dim', text)}\n`);
  }

  show(stats: Stats, ills: ReadonlyMap<string, string>): void {
    const now = performance.now();
    this.#startedAt ??= now;
    const rate = this.#rate(now, stats.outcomes.delivered);
    if (!this.#out.isTTY) {
      if (now - this.#plainAt < PLAIN_EVERY_MS) return;
      this.#plainAt = now;
      this.#out.write(`${clock(now - this.#begun)}  ${whole(rate)}/s  ${statsLine(stats)}\n`);
      return;
    }
    const { columns = 80, rows = 24 } = this.#out as Partial<WriteStream>;
    const width = columns - 1;
    const lines = this.#lines(stats, ills, rate, now - this.#startedAt).slice(0, rows - 2);
    this.#erase();
    for (const { text, format } of lines) {
      const fitting = text.slice(0, width);
      this.#out.write(`${format === undefined ? fitting : this.#style(format, fitting)}\n`);
    }
    this.#drawn = lines.length;
  }

  /** Leaves what is drawn on the screen. Safe twice. */
  end(): void {
    this.#drawn = 0;
  }

  #lines(stats: Stats, ills: ReadonlyMap<string, string>, rate: number, elapsedMs: number): Line[] {
    const head = ['delivered/s', 'in flight', 'waiting', 'on ladder', 'delivered', 'retried', 'dead'];
    const { inFlight, waiting, onLadder, outcomes, retried } = stats;
    const values = [rate, inFlight, waiting, onLadder, outcomes.delivered, retried, deadOf(stats)];
    const columns = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(11)).join('');
    const time = `${clock(Math.min(elapsedMs, this.#durationMs))} of ${clock(this.#durationMs)}`;
    const lines: Line[] = [
      { text: `orderlane demo   ${time}   Ctrl-C ends it early`, format: 'bold' },
      { text: '' },
      { text: columns(head), format: 'dim' },
      { text: columns(values.map(whole)), format: 'bold' },
      { text: '' },
    ];
    stats.shards.forEach((shard, index) => {
      const restarts = shard.restarts === 0 ? '' : `   restarts ${shard.restarts}`;
      const busy = `${Math.round(shard.utilization * 100)}%`.padStart(4);
      const calls = whole(shard.inFlight).padStart(6);
      lines.push({ text: `  shard ${index}  ${shard.state.padEnd(9)} in flight ${calls}   busy ${busy}${restarts}` });
    });
    lines.push({ text: '' });
    lines.push({
      text: '  slowest merchants   in flight  waiting   out  answers in oldest call  held by  last failure',
      format: 'dim',
    });
    for (const {
      merchant,
      inFlight: calls,
      waiting: queued,
      out,
      latencyMs,
      oldestMs,
      gate,
      failure,
    } of stats.slowest.slice(0, ROWS)) {
      const ill = ills.get(merchant);
      const name = `${merchant}${ill === undefined ? '' : ` (${ill})`}`.padEnd(19);
      const cells = [
        whole(calls).padStart(10),
        whole(queued).padStart(9),
        whole(out).padStart(6),
        span(latencyMs).padStart(12),
        span(oldestMs).padStart(12),
        `  ${(gate ?? '').padEnd(7)}  ${failure ?? ''}`,
      ];
      lines.push({ text: `  ${name}${cells.join('')}`, ...(ill === undefined ? {} : { format: 'yellow' }) });
    }
    if (stats.pressure !== undefined) lines.push({ text: `  ${stats.pressure}`, format: 'yellow' });
    return lines;
  }

  /** Deliveries a second, over the last readings: a single interval jumps about. */
  #rate(now: number, delivered: number): number {
    this.#readings.push({ at: now, delivered });
    this.#readings = this.#readings.filter(({ at }) => now - at <= RATE_OVER_MS);
    const [first] = this.#readings;
    if (first === undefined || first.at === now) return 0;
    return ((delivered - first.delivered) * 1000) / (now - first.at);
  }

  #erase(): void {
    if (this.#drawn === 0) return;
    // The terminal may have written ^C where the cursor stood.
    this.#out.write(`\r\u001B[${this.#drawn}A\u001B[J`);
    this.#drawn = 0;
  }

  #style(format: Format, text: string): string {
    return styleText(format, text, { stream: this.#out });
  }
}

function deadOf(stats: Stats): number {
  return Object.values(stats.deadLettered).reduce((sum, count) => sum + count, 0);
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function span(ms: number): string {
  if (ms === 0) return '-';
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
