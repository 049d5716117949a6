import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { OrderlaneError } from '../errors.ts';
import type { DirectoryFile } from './directory-file.ts';

/** What a reload changes, in entries. */
export interface DirectoryChange {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** How many merchants there are now. */
  readonly merchants: number;
  /** What holds for all of them is another. */
  readonly defaultsChanged: boolean;
}

const SLICE = 2000;
/** Fewer than this are removed by hand. */
const MANY = 10;

export async function changeBetween(before: DirectoryFile, after: DirectoryFile): Promise<DirectoryChange> {
  let [removed, changed, left] = [0, 0, SLICE];
  for (const [id, entry] of before.merchants) {
    const now = after.merchants.get(id);
    if (now === undefined) removed++;
    else if (!isDeepStrictEqual(entry, now)) changed++;
    if (--left === 0) {
      left = SLICE;
      await turn();
    }
  }
  const merchants = after.merchants.size;
  const added = merchants - (before.merchants.size - removed);
  return { added, removed, changed, merchants, defaultsChanged: !isDeepStrictEqual(before.defaults, after.defaults) };
}

/**
 * Why a reload is not to be believed: an emptied or truncated export would send every order of the missing merchants to the
 * dead letters within seconds, while refusing it costs a restart at most.
 */
export function refusalOf({ removed, added, merchants }: DirectoryChange, file: string): OrderlaneError | undefined {
  const before = merchants - added + removed;
  if (removed === 0 || (removed < before && (removed < MANY || removed * 2 <= before))) return undefined;
  return new OrderlaneError(
    'USAGE',
    `${file}: it would remove ${removed} of the ${before} merchants that are in force and add ${added}, which looks like a ` +
      'mistake: their orders would be dead-lettered. If it is meant, restart orderlane, or remove them in steps of half at most',
  );
}

/** `2 added, 1 removed, 0 changed, 103 in all`. */
export function changeText({ added, removed, changed, merchants, defaultsChanged }: DirectoryChange): string {
  const defaults = defaultsChanged ? ', other defaults' : '';
  return `${added} added, ${removed} removed, ${changed} changed${defaults}, ${merchants} in all`;
}
