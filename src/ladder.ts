/**
 * The ladder's rungs in milliseconds: one delay queue each. A fixed set, because only a queue-level TTL expires messages
 * in order; powers of two, so that any delay is at most doubled.
 */
export const RUNGS_MS = [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 512000] as const;
const LONGEST_MS = RUNGS_MS[RUNGS_MS.length - 1] as number;

export interface Rung {
  readonly delayMs: number;
  /** Whether the wanted delay is longer than the longest rung: the message must wait again when it comes back. */
  readonly again: boolean;
}

/**
 * The shortest rung that waits at least `wantedMs` and ends within `leftMs`. Undefined when no rung that respects
 * `atLeastMs` ends in time; between the two a shorter rung is taken rather than none.
 */
export function rungFor(wantedMs: number, atLeastMs: number, leftMs: number): Rung | undefined {
  if (atLeastMs >= leftMs) return undefined;
  const wanted = Math.max(wantedMs, atLeastMs);
  const fit = RUNGS_MS.find((rung) => rung >= wanted) ?? LONGEST_MS;
  if (fit < leftMs) return { delayMs: fit, again: wanted > fit };
  const shorter = RUNGS_MS.findLast((rung) => rung < leftMs);
  return shorter === undefined ? undefined : { delayMs: shorter, again: atLeastMs > shorter };
}
