import { Waiting } from './waiting.ts';

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

const SHOWN = 30;

/** The log of an orderlane that runs, line by line, to be waited for. */
export class LogLines {
  readonly all: LogLine[] = [];
  readonly #waiting = new Waiting(() => `Its log ends with\n${this.tail()}`);

  /** Takes text of whole lines; what is not JSON counts as a message of its own. */
  add(text: string): void {
    for (const line of text.split('\n')) if (line !== '') this.all.push(read(line));
    this.#waiting.changed();
  }

  over(why: string): void {
    this.#waiting.over(why);
  }

  /** The first line with this message, or that passes. */
  until(wanted: string | RegExp | ((line: LogLine) => boolean)): Promise<LogLine> {
    const what = typeof wanted === 'function' ? 'a line of the log' : `the log line ${String(wanted)}`;
    return this.#waiting.until(what, () => this.matching(wanted)[0]);
  }

  matching(wanted: string | RegExp | ((line: LogLine) => boolean)): LogLine[] {
    if (typeof wanted === 'function') return this.all.filter(wanted);
    return this.all.filter(({ msg }) => (typeof wanted === 'string' ? msg === wanted : wanted.test(msg)));
  }

  tail(): string {
    return this.all
      .filter(({ msg }) => msg !== 'stats')
      .slice(-SHOWN)
      .map((line) => JSON.stringify(line))
      .join('\n');
  }
}

function read(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { level: 0, msg: line };
  }
}
