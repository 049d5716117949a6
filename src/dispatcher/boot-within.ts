import type { Worker } from 'node:worker_threads';
import { messageOf, OrderlaneError } from '../errors.ts';
import type { Booted } from '../protocol.ts';

const LIMIT_MS = 20_000;

/** What a thread says of its boot. Rejects when it ends instead, with `why` if anybody knows, and ends it when it takes too long. */
export async function bootWithin(
  worker: Worker,
  booting: Promise<Booted>,
  exited: Promise<void>,
  why: () => string | undefined,
): Promise<Booted> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      booting.catch((error: unknown) => Promise.reject(endedWhileLoading(messageOf(error), error))),
      exited.then(() => Promise.reject(endedWhileLoading(why() ?? 'it exited'))),
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          reject(new OrderlaneError('SHARD', `the handler was not loaded within ${LIMIT_MS / 1000} s`));
          void worker.terminate();
        }, LIMIT_MS);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

function endedWhileLoading(why: string, cause?: unknown): OrderlaneError {
  return new OrderlaneError('SHARD', `the thread ended while it loaded the handler: ${why}`, { cause });
}
