/** Sizes as people write them, `64KiB`, `256MiB`, `1048576`, to bytes and back. */
const UNITS = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 } as const;

/** Bytes of a number and its unit (B, KiB, MiB, GiB, or the decimal KB, MB, GB), or of a bare number; else undefined. */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d{1,16}(?:\.\d{1,6})?) ?([kmg]i?b|b)?$/i.exec(text);
  if (match === null) return undefined;
  const bytes = Math.round(Number(match[1]) * UNITS[(match[2] ?? 'b').toLowerCase() as keyof typeof UNITS]);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest exact text that `parseByteSize` reads back: 1048576 is `1MiB`, 1000 is `1000B`. */
export function formatByteSize(bytes: number): string {
  for (const [unit, size] of [
    ['GiB', UNITS.gib],
    ['MiB', UNITS.mib],
    ['KiB', UNITS.kib],
  ] as const) {
    if (bytes !== 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}
