import type { Merchant } from '../order.ts';
import type { PauseReading } from '../readings.ts';
import type { Directory } from './directory.ts';

/** As many names as an operator can read at a glance. */
const SHOWN = 10;

/** The directory, and over it what an operator has paused by hand since start. The directory's own pauses stay. */
export class Pauses implements Pick<Directory, 'find'> {
  readonly #directory: Pick<Directory, 'find'>;
  readonly #paused = new Set<string>();

  constructor(directory: Pick<Directory, 'find'>) {
    this.#directory = directory;
  }

  find(merchantId: string): Merchant | undefined {
    const merchant = this.#directory.find(merchantId);
    return merchant !== undefined && this.#paused.has(merchantId) ? { ...merchant, paused: true } : merchant;
  }

  /** What is paused by hand, in the order of the pauses; the first few by name. */
  reading(): PauseReading {
    return { count: this.#paused.size, first: [...this.#paused].slice(0, SHOWN) };
  }

  /** False when there is no such merchant. */
  pause(merchantId: string): boolean {
    if (this.#directory.find(merchantId) === undefined) return false;
    this.#paused.add(merchantId);
    return true;
  }

  /** What holds the merchant then: nothing, or the directory's own pause; undefined when there is no such merchant. */
  resume(merchantId: string): 'resumed' | 'paused-by-directory' | undefined {
    this.#paused.delete(merchantId);
    const merchant = this.#directory.find(merchantId);
    if (merchant === undefined) return undefined;
    return merchant.paused ? 'paused-by-directory' : 'resumed';
  }
}
