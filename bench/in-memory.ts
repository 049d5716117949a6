import { statfsSync } from 'node:fs';

const MEMORY = '/dev/shm';
/** What brokers write in the longest runs, several times over. */
const LEAST_BYTES = 4 * 2 ** 30;

/**
 * Has the broker write to memory, where there is enough and TMPDIR does not say otherwise: a disk that others use, too, takes
 * half a second for an fsync now and then, and which system's run that hits is chance.
 */
export function writeToMemory(): void {
  if (process.env['TMPDIR'] === undefined && hasRoom()) process.env['TMPDIR'] = MEMORY;
}

export function writesToMemory(): boolean {
  return process.env['TMPDIR'] === MEMORY;
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize >= LEAST_BYTES;
  } catch {
    return false; // there is none on this system
  }
}
