import type { Options } from '../../options.ts';
import { idleSockets } from '../../run-options.ts';
import { fail, type Finding, ok, warn } from './finding.ts';
import type { Machine } from './machine.ts';

type Budget = Pick<Options, 'concurrency' | 'shards' | 'windowBytes' | 'prefetch'>;

/** Beside the sockets of calls: the broker's, the log's, the admin endpoint's, files, and what each thread's loop needs. */
const OTHER_FILES = 64;
const FILES_A_THREAD = 16;

// Measured; the text of a body takes at least a byte a character.
const CALL_BYTES = 45_000;
/** Of one that is busy, with the garbage that waits to be collected: 256 MB of it may. */
const THREAD_BYTES = 290e6;
const MAIN_BYTES = 90e6;
/** What an order costs that only waits, beside its body. */
const WAITING_BYTES = 2000;
/** Above this share of what there is, what was not thought of may be the end of it. */
const COMFORTABLE = 0.9;

export function openFilesCheck({ concurrency, shards }: Budget, { openFiles }: Machine): Finding {
  const check = 'open files';
  const least = concurrency + OTHER_FILES + shards * FILES_A_THREAD;
  const most = least + shards * idleSockets({ concurrency, shards });
  if (openFiles === undefined) {
    return warn(check, 'how many files may be open cannot be told here', `see that ulimit -Hn is ${least} or more`);
  }
  const raise = (to: number): string =>
    `raise it to ${to} or more: ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker`;
  const needs = `${concurrency} calls in flight need ${least}`;
  if (openFiles < least) {
    return fail(check, `${openFiles} may be open, and ${needs}`, `${raise(most)}; or lower --concurrency`);
  }
  if (openFiles < most) {
    const what = `${openFiles} may be open: ${needs}, but with idle connections kept for the next call there can be ${most}`;
    return warn(check, what, raise(most));
  }
  return ok(check, `${Number.isFinite(openFiles) ? openFiles : 'any number'} may be open; at most ${most} are needed`);
}

export function memoryCheck(budget: Budget, { memoryBytes, isMemoryLimited }: Machine): Finding {
  const { concurrency, shards, windowBytes, prefetch } = budget;
  const fixed = MAIN_BYTES + shards * THREAD_BYTES + concurrency * CALL_BYTES + prefetch * WAITING_BYTES;
  const most = fixed + windowBytes;
  const there = `${megabytes(memoryBytes)} ${isMemoryLimited ? 'allowed here' : 'in this machine'}`;
  const sum = `${shards} threads, ${concurrency} calls in flight and ${prefetch} orders in hand take about ${megabytes(fixed)}, and their bodies ${megabytes(windowBytes)} more`;
  const check = 'memory';
  const fix = `give it ${megabytes(most / COMFORTABLE)}, or lower --concurrency (45 kB a call), --shards (290 MB a thread), --prefetch (2 kB an order) or --window-bytes`;
  if (fixed > memoryBytes) return fail(check, `${sum}: more than the ${there}`, fix);
  if (most > memoryBytes) return warn(check, `${sum}: together more than the ${there}`, fix);
  if (most > memoryBytes * COMFORTABLE) return warn(check, `${sum}: too near to the ${there}`, fix);
  return ok(check, `${sum}; ${there}`);
}

export function coresCheck({ shards }: Budget, { cores }: Machine): Finding {
  const check = 'processors';
  const there = `${Number(cores.toFixed(2))} ${cores === 1 ? 'core' : 'cores'}`;
  // Two threads are the default even on one core: when one is blocked, the other's merchants go on.
  if (shards > Math.max(2, Math.ceil(cores))) {
    const what = `${shards} threads and the main thread share ${there}`;
    const fix = `set --shards to ${Math.max(2, Math.ceil(cores) - 1)} or so: more threads than cores take memory and deliver no more; or allow more CPU`;
    return warn(check, what, fix);
  }
  if (cores < 1) {
    const fix = 'allow 1 core or more: a quota below that stops all threads for parts of each 100 ms';
    return warn(check, `a CPU quota of ${there}`, fix);
  }
  return ok(check, `${there} for ${shards} threads and the main thread`);
}

function megabytes(bytes: number): string {
  return bytes >= 10e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.ceil(bytes / 1e6)} MB`;
}
