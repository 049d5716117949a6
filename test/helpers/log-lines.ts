import { Waiting } from './waiting.ts';

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A message, or what it must look like, or what must be true of a line by itself. */
export type Wanted = string | RegExp | ((line: LogLine) => boolean);

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
  until(wanted: Wanted): Promise<LogLine> {
    return this.#find(wanted, 1, 0);
  }

  /** The nth of them, from 1. */
  nth(n: number, wanted: Wanted): Promise<LogLine> {
    return this.#find(wanted, n, 0);
  }

  /** The first of them that is written from now on. */
  next(wanted: Wanted): Promise<LogLine> {
    return this.#find(wanted, 1, this.all.length);
  }

  matching(wanted: Wanted): LogLine[] {
    return this.all.filter(testOf(wanted));
  }

  /** Looks at each line once: a log has tens of thousands of them. */
  #find(wanted: Wanted, n: number, from: number): Promise<LogLine> {
    const what = typeof wanted === 'function' ? 'a line of the log' : `the log line ${String(wanted)}`;
    const test = testOf(wanted);
    let at = from;
    let left = n;
    return this.#waiting.until(what, () => {
      for (; at < this.all.length; at++) {
        const line = this.all[at] as LogLine;
        if (test(line) && --left === 0) return line;
      }
      return undefined;
    });
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

function testOf(wanted: Wanted): (line: LogLine) => boolean {
  if (typeof wanted === 'function') return wanted;
  return ({ msg }) => (typeof wanted === 'string' ? msg === wanted : wanted.test(msg));
}
