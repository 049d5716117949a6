import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { OrderlaneError } from '../errors.ts';
import type { Merchant } from '../order.ts';
import { changeBetween, type DirectoryChange, refusalOf } from './directory-change.ts';
import { DirectorySnapshot, type DirectorySource, signatureOf } from './directory-snapshot.ts';

export type { DirectoryChange } from './directory-change.ts';
export type { DirectorySource } from './directory-snapshot.ts';

const DEFAULT_POLL_MS = 1000;
const SETTLE_MS = 200;
// Secret files looked at in one poll; where there are more, they take turns.
const SECRETS_A_POLL = 100;

/**
 * Who the merchants are, where their orders go and within which limits: a file, read again when it changes, or one URL
 * template for everybody, or neither, when a handler knows by itself. Main thread only.
 *
 * A merchant of the file is the same object until something about it changes, so that `!==` tells whether a thread must
 * be told. Merchants of a template are made anew at each call: nobody knows how many there are.
 */
export class Directory {
  readonly #source: DirectorySource;
  #snapshot: DirectorySnapshot;
  #version = 1;
  #made = new Map<string, Merchant>();
  /** Made from earlier snapshots, and not asked for since. */
  #earlier = new Map<string, Merchant>();
  /** What each file looked like just before it was last read; the directory's own comes first. */
  #signatures: Map<string, string>;
  #nextSecret = 0;
  #state: 'loaded' | 'watching' | 'stopped' = 'loaded';
  #timer: NodeJS.Timeout | undefined;

  /** Throws an OrderlaneError with code USAGE that says all that is wrong. */
  static async load(source: DirectorySource): Promise<Directory> {
    const signatures = new Map<string, string>();
    return new Directory(source, await DirectorySnapshot.load(source, signatures), signatures);
  }

  private constructor(source: DirectorySource, snapshot: DirectorySnapshot, signatures: Map<string, string>) {
    this.#source = source;
    this.#snapshot = snapshot;
    this.#signatures = signatures;
  }

  /** Hosts that may be plain HTTP or at a private address: the file's and the source's. */
  get allowHosts(): readonly string[] {
    return this.#snapshot.guard.patterns;
  }

  /** Merchants of the file; undefined without one. */
  get size(): number | undefined {
    return this.#source.file === undefined ? undefined : this.#snapshot.file.merchants.size;
  }

  /** The merchants of the file. */
  get ids(): Iterable<string> {
    return this.#snapshot.file.merchants.keys();
  }

  /** Whether orders of some merchant are to be confirmed by the handler before they are sent again. */
  get wantsConfirm(): boolean {
    const { defaults, merchants } = this.#snapshot.file;
    if (merchants.size > 0 && defaults.duplicates === 'confirm') return true;
    for (const { duplicates } of merchants.values()) if (duplicates === 'confirm') return true;
    return false;
  }

  /** Grows at every successful reload. */
  get version(): number {
    return this.#version;
  }

  /** A merchant by its ID; undefined when it is unknown, or when its ID cannot be part of the URL template. */
  find(merchantId: string): Merchant | undefined {
    if (this.#source.file === undefined) return this.#snapshot.make(merchantId);
    const made = this.#made.get(merchantId);
    if (made !== undefined) return made;
    const fresh = this.#snapshot.make(merchantId);
    if (fresh === undefined) return undefined;
    const earlier = this.#earlier.get(merchantId);
    this.#earlier.delete(merchantId);
    const merchant = earlier !== undefined && isDeepStrictEqual(earlier, fresh) ? earlier : fresh;
    this.#made.set(merchantId, merchant);
    return merchant;
  }

  /**
   * Looks at the file and at its secrets' files every second, and loads them again when they change: `onChange` when all
   * is well, `onBad` once for each state of the files that is not, or that removes so many merchants that it looks like a mistake. The last good one stays in force. Once per directory.
   */
  watch(onChange: (change: DirectoryChange) => void, onBad: (error: OrderlaneError) => void): void {
    if (this.#state === 'watching') throw new OrderlaneError('FATAL', 'the directory is being watched already');
    if (this.#state === 'stopped' || this.#source.file === undefined) return;
    this.#state = 'watching';
    const wait = (): void => {
      this.#timer = setTimeout(() => void look(), this.#source.pollMs ?? DEFAULT_POLL_MS);
      this.#timer.unref();
    };
    const look = async (): Promise<void> => {
      if (await this.#changed()) await this.#reload(onChange, onBad);
      if (this.#watching()) wait();
    };
    wait();
  }

  /** Ends the watch, for good. What was loaded can still be asked. */
  stop(): void {
    this.#state = 'stopped';
    clearTimeout(this.#timer);
  }

  #watching(): boolean {
    return this.#state === 'watching';
  }

  async #changed(): Promise<boolean> {
    const [file, ...secrets] = this.#signatures.keys();
    const turns = Math.min(secrets.length, SECRETS_A_POLL);
    const due = Array.from({ length: turns }, (_, at) => secrets[(this.#nextSecret + at) % secrets.length] as string);
    this.#nextSecret += turns;
    for (const path of [file as string, ...due]) {
      if ((await signatureOf(path)) === this.#signatures.get(path)) continue;
      await this.#settled(path);
      return true;
    }
    return false;
  }

  /** Waits until whoever writes a file seems to be done with it. */
  async #settled(path: string): Promise<void> {
    for (let before = '', seen = await signatureOf(path); before !== seen; seen = await signatureOf(path)) {
      before = seen;
      await pause(Math.min(SETTLE_MS, this.#source.pollMs ?? SETTLE_MS), undefined, { ref: false });
    }
  }

  async #reload(onChange: (change: DirectoryChange) => void, onBad: (error: OrderlaneError) => void): Promise<void> {
    const signatures = new Map<string, string>();
    let snapshot: DirectorySnapshot;
    let change: DirectoryChange;
    try {
      snapshot = await DirectorySnapshot.load(this.#source, signatures);
      change = await changeBetween(this.#snapshot.file, snapshot.file);
      const refusal = refusalOf(change, this.#source.file as string);
      if (refusal !== undefined) throw refusal;
    } catch (error) {
      if (!(error instanceof OrderlaneError)) throw error;
      // The files of the bad version are watched, so that whichever of them is put right is noticed.
      this.#signatures = signatures;
      if (this.#watching()) onBad(error);
      return;
    }
    if (!this.#watching()) return;
    this.#signatures = signatures;
    this.#snapshot = snapshot;
    this.#version += 1;
    this.#earlier = new Map([...this.#earlier, ...this.#made].filter(([id]) => snapshot.lists(id)));
    this.#made = new Map();
    onChange(change);
  }
}
