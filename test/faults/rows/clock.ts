import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Reply, Target } from '../../helpers/target.ts';
import type { Row } from '../row.ts';

const HOUR_MS = 3_600_000;
const PRELOAD = new URL('../preload/clock.ts', import.meta.url);
/** What the time of day is off by while the calls of an attempt are in flight, and from then on. */
const OFFSETS_MS = [HOUR_MS, -HOUR_MS, 0];

/**
 * Each attempt's calls are held until all are in flight and the clock has stepped, and fail but for the last: deadlines and
 * waits that had begun run on as they were.
 */
export const clockSteps: Row = {
  name: 'clock-steps',
  fault: 'clock stepped by an hour forward, two back, one forward, with all orders in flight',
  async play(stage) {
    const orders = stage.full ? 2_000 : 200;
    const late = orders / 2;
    const gates = OFFSETS_MS.map(() => Promise.withResolvers<Reply>());
    const target = await Target.start(stage, (_call, nth) => gates[nth - 1]?.promise ?? { status: 200 });
    stage.receipts = target.receipts;
    const file = join(stage.dir, 'clock');
    await writeFile(file, '0');
    stage.preload(PRELOAD, { CLOCK_OFFSET_FILE: file });
    // Few a merchant, so that none waits in its lane.
    await stage.publish({ orders, merchants: orders / 4 });
    const patient = ['--timeout', '2m', '--shutdown-timeout', '2m', '--backoff', '100ms', '--backoff-max', '1s'];
    const worker = await stage.work('--url', target.urlTemplate, ...patient);
    let held = orders;
    for (const [n, offsetMs] of OFFSETS_MS.entries()) {
      await stage.until(worker, ({ inFlight, onLadder }) => inFlight === held && onLadder === 0);
      await target.until('all calls', () => target.open === held);
      await writeFile(file, String(offsetMs));
      if (offsetMs < 0) {
        // Published an hour from now, as far as the worker knows.
        await stage.publish({ orders: late, merchants: orders / 4 });
        held += late;
        await stage.until(worker, ({ inFlight }) => inFlight === held);
      }
      gates[n]?.resolve({ status: n === OFFSETS_MS.length - 1 ? 200 : 500 });
    }
    await stage.ended(worker);
    // The late ones too: the gate of their first attempt was open, and let them fail.
    const expected = OFFSETS_MS.length * (orders + late);
    if (target.received.length !== expected) {
      throw new Error(`expected ${expected} calls, no more and no less, got ${target.received.length}`);
    }
    return { bound: 0, recoveredMs: [] };
  },
};
