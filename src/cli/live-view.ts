import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';
import { type Stats, statsLine } from '../stats.ts';
import { type Line, styled } from './screen.ts';
import { laneText, lanesHead, Rate, shardLine, totalLines, whole } from './stats-lines.ts';

const PLAIN_EVERY_MS = 5_000;
const ROWS = 6;

/**
 * What a worker does, live: drawn over itself on a terminal, a line every few seconds elsewhere. What is drawn is cut to
 * the terminal's size, because a wrapped line, or one that has scrolled away, cannot be drawn over.
 */
export class LiveView {
  readonly #out: NodeJS.WriteStream;
  readonly #durationMs: number;
  readonly #begun = performance.now();
  readonly #rate = new Rate();
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
    this.#out.write(`${styleText('dim', text, { stream: this.#out })}\n`);
  }

  show(stats: Stats, ills: ReadonlyMap<string, string>): void {
    const now = performance.now();
    this.#startedAt ??= now;
    const rate = this.#rate.next(now, stats.outcomes.delivered);
    if (!this.#out.isTTY) {
      if (now - this.#plainAt < PLAIN_EVERY_MS) return;
      this.#plainAt = now;
      this.#out.write(`${clock(now - this.#begun)}  ${whole(rate)}/s  ${statsLine(stats)}\n`);
      return;
    }
    const { columns = 80, rows = 24 } = this.#out as Partial<WriteStream>;
    const width = columns - 1;
    const lines = this.#lines(stats, ills, rate, now - this.#startedAt, columns).slice(0, rows - 2);
    this.#erase();
    for (const line of lines) this.#out.write(`${styled(this.#out, line, width)}\n`);
    this.#drawn = lines.length;
  }

  /** Leaves what is drawn on the screen. Safe twice. */
  end(): void {
    this.#drawn = 0;
  }

  #lines(stats: Stats, ills: ReadonlyMap<string, string>, rate: number, elapsedMs: number, columns: number): Line[] {
    const time = `${clock(Math.min(elapsedMs, this.#durationMs))} of ${clock(this.#durationMs)}`;
    const lines: Line[] = [
      { text: `orderlane demo   ${time}   Ctrl-C ends it early`, format: 'bold' },
      { text: '' },
      ...totalLines(stats, rate),
      { text: '' },
    ];
    lines.push(...stats.shards.map(shardLine));
    lines.push({ text: '' });
    lines.push({ text: `  slowest merchants${lanesHead(columns)}`, format: 'dim' });
    for (const lane of stats.slowest.slice(0, ROWS)) {
      const ill = ills.get(lane.merchant);
      lines.push(
        ill === undefined
          ? { text: laneText(lane, columns) }
          : { text: laneText(lane, columns, ` (${ill})`), format: 'yellow' },
      );
    }
    if (stats.pressure !== undefined) lines.push({ text: `  ${stats.pressure}`, format: 'yellow' });
    return lines;
  }

  #erase(): void {
    if (this.#drawn === 0) return;
    // The terminal may have written ^C where the cursor stood.
    this.#out.write(`\r\u001B[${this.#drawn}A\u001B[J`);
    this.#drawn = 0;
  }
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}
