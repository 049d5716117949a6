/** The merchant whose orders cost CPU. */
export const HOT = 'm-2';
export const BURN_MS = 50;

/** Holds the thread for 50 ms when the order is the hot merchant's. */
export function burn(merchantId: string): void {
  if (merchantId !== HOT) return;
  for (const until = performance.now() + BURN_MS; performance.now() < until; ) Math.sqrt(until);
}
