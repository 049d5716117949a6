/**
 * Waits for a broker call no longer than `limitMs`: amqplib's promises never settle when the socket dies at the wrong
 * moment.
 */
export async function within<T>(limitMs: number, what: string, call: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the broker did not answer ${what} within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How long one broker call may take, in milliseconds. */
export const CALL_LIMIT_MS = 10_000;
