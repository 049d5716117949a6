export type Verdict = 'ok' | 'warn' | 'fail';

/** What one check has found. */
export interface Finding {
  /** What was looked at, in a word or two. */
  readonly check: string;
  readonly verdict: Verdict;
  /** What is so. */
  readonly what: string;
  /** What to do about it; always there unless it is well. */
  readonly fix?: string;
}

export function ok(check: string, what: string): Finding {
  return { check, verdict: 'ok', what };
}

/** Something to know, or that could not be looked at. It keeps nothing from working. */
export function warn(check: string, what: string, fix: string): Finding {
  return { check, verdict: 'warn', what, fix };
}

/** Orders would not be delivered, or the process would not start or not last. */
export function fail(check: string, what: string, fix: string): Finding {
  return { check, verdict: 'fail', what, fix };
}
