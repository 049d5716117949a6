import { messageOf } from '../../errors.ts';
import { Directory } from '../../merchant/directory.ts';
import { directorySourceOf } from '../../merchant/directory-snapshot.ts';
import type { Options } from '../../options.ts';
import { fail, type Finding, ok, warn } from './finding.ts';

export interface DirectoryLook {
  readonly findings: readonly Finding[];
  /** Absent when it cannot be used. */
  readonly directory?: Directory;
}

/** Loads the directory as `work` would: every field, URL, secret and address of it. */
export async function directoryCheck(options: Options, withoutSecrets: boolean): Promise<DirectoryLook> {
  const check = 'merchants';
  let directory: Directory;
  try {
    directory = await Directory.load({ ...directorySourceOf(options), withoutSecrets });
  } catch (error) {
    const fix = 'correct it; docs/merchants.md has every field, and what a running process does with a bad file';
    return { findings: [fail(check, messageOf(error), fix)] };
  }
  return { directory, findings: [sizeFinding(directory, options, withoutSecrets)] };
}

function sizeFinding(directory: Directory, { merchants, url }: Options, withoutSecrets: boolean): Finding {
  const check = 'merchants';
  const { size } = directory;
  if (size === 0) {
    return warn(check, `${merchants} lists nobody: every order is dead-lettered`, 'list the merchants in it');
  }
  if (size === undefined) {
    return ok(check, url === undefined ? 'the handler knows them by itself' : 'one URL template serves them all');
  }
  const secrets = withoutSecrets ? 'their secrets were not looked at' : 'every secret is there';
  return ok(check, `${size.toLocaleString('en')} in ${merchants}; ${secrets}`);
}

/** Whatever is asked of a handler must be in it. */
export function confirmCheck(wantsConfirm: boolean, confirms: boolean): readonly Finding[] {
  if (!wantsConfirm || confirms) return [];
  const what = '"duplicates": "confirm" asks the handler, which has no confirm(): such orders would be parked';
  return [warn('handler', what, 'export confirm(order, ctx) beside deliver, or say "never" or "idempotent"')];
}

/** The longest time-out of any merchant, in milliseconds; `timeoutMs` where nobody is listed. */
export function longestTimeoutMs(directory: Directory, timeoutMs: number): number {
  let longest = 0;
  for (const id of directory.ids) longest = Math.max(longest, directory.find(id)?.timeoutMs ?? 0);
  return longest === 0 ? timeoutMs : longest;
}
