import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';

export type Format = 'bold' | 'dim' | 'yellow';

export interface Line {
  readonly text: string;
  readonly format?: Format;
}

const CONTROLS = /\p{Cc}/gu;

/** Text without what merchants' names and answers could do to a terminal. */
export function plain(text: string): string {
  return text.replace(CONTROLS, '?').trimEnd();
}

/** A line as the terminal gets it: no wider than that. */
export function styled(out: NodeJS.WriteStream, { text, format }: Line, width: number): string {
  const fitting = plain(text).slice(0, width);
  return format === undefined ? fitting : styleText(format, fitting, { stream: out });
}

/** A terminal's other screen, drawn over again and again; what was there before comes back in the end. */
export class Screen {
  readonly #out: WriteStream;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  open(): void {
    this.#out.write('\u001B[?1049h\u001B[?25l');
  }

  /** What can be drawn on: the last row and column stay free, so that nothing scrolls or wraps. */
  get size(): { readonly columns: number; readonly rows: number } {
    const { columns = 80, rows = 24 } = this.#out as Partial<WriteStream>;
    return { columns: columns - 1, rows: rows - 1 };
  }

  draw(lines: readonly Line[]): void {
    const { columns, rows } = this.size;
    const shown = lines.slice(0, rows).map((line) => `${styled(this.#out, line, columns)}\u001B[K`);
    this.#out.write(`\u001B[H${shown.join('\r\n')}\u001B[J`);
  }

  close(): void {
    this.#out.write('\u001B[?25h\u001B[?1049l');
  }
}
