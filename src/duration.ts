/** Durations as people write them, `15s`, `1.5h`, to milliseconds and back. */
const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Milliseconds of a number and its unit: ms, s, m, h or d. Undefined for anything else, a bare number included: whether
 * `15` meant seconds or milliseconds is not for us to guess. A fraction of a millisecond is rounded.
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,6})?) ?(ms|s|m|h|d)$/.exec(text);
  if (match === null) return undefined;
  const ms = Math.round(Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS]);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** How many a second: a number above 0 per s, m or h, as in `10/s`. Undefined for anything else, a bare number included. */
export function parseRate(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,6})?) ?\/ ?(s|m|h)$/.exec(text);
  if (match === null) return undefined;
  const perSecond = (Number(match[1]) * 1000) / UNITS_MS[match[2] as keyof typeof UNITS_MS];
  return perSecond > 0 ? perSecond : undefined;
}

/** The shortest exact text that `parseDuration` reads back: 90000 is `90s`, 7200000 is `2h`. */
export function formatDuration(ms: number): string {
  const whole = Math.round(ms);
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (whole !== 0 && whole % UNITS_MS[unit] === 0) return `${whole / UNITS_MS[unit]}${unit}`;
  }
  return `${whole}ms`;
}
