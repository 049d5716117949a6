import { OrderlaneError } from '../errors.ts';

const SHOWN = 10;

/** Tells of a problem with a value, or with what is `below` it. */
export type Tell = (what: string, ...below: string[]) => void;

/** Collects what is wrong with a file, so that a person sees more than one problem at a time, and not ten thousand. */
export class Problems {
  readonly #first: string[] = [];
  #count = 0;

  add(path: readonly string[], what: string): void {
    this.#count += 1;
    if (this.#first.length < SHOWN) this.#first.push(path.length === 0 ? what : `${pathText(path)}: ${what}`);
  }

  addIf(path: readonly string[], what: string | undefined): void {
    if (what !== undefined) this.add(path, what);
  }

  get found(): boolean {
    return this.#count > 0;
  }

  /** All of it as one error about `source`. */
  error(source: string): OrderlaneError {
    if (this.#count === 1) return new OrderlaneError('USAGE', `${source}: ${this.#first[0]}`);
    const some = this.#count > SHOWN ? `, the first ${SHOWN} are` : '';
    return new OrderlaneError('USAGE', `${source}: ${this.#count} problems${some}:\n  ${this.#first.join('\n  ')}`);
  }
}

/** A value as a message shows it: short, and of an object or list only that it is one. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}

function pathText(path: readonly string[]): string {
  return path
    .map((name, at) => (/^[\w-]+$/.test(name) ? `${at === 0 ? '' : '.'}${name}` : `[${shown(name)}]`))
    .join('');
}
