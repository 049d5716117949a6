import type { Row } from '../row.ts';
import type { Stage } from '../stage.ts';

const FAILING = ['m-1', 'm-2', 'm-3'];
const THROTTLED = ['m-4', 'm-5'];
/** Healthy merchants, merchants that need retries, and lanes that are held. */
const SCENARIO = {
  default: { latency: { distribution: 'uniform', min: '5ms', max: '60ms' } },
  rules: [
    { merchants: { ids: FAILING }, failing: { status: 500, fraction: 0.5 } },
    { merchants: { ids: THROTTLED }, rateLimited: { perSecond: 20, retryAfter: '1s' } },
  ],
};

/**
 * The broker takes no message while it lasts: acks flow on, healthy orders are delivered, the rest waits in the window, and
 * nothing is written to a broker that does not read.
 */
function alarm(name: string, fault: string, raise: readonly string[], clear: readonly string[]): Row {
  return {
    name,
    fault,
    async play(stage: Stage) {
      const merchants = await stage.merchants(SCENARIO);
      await stage.publish({ orders: 1_000, merchants: 20 });
      const published = await stage.messages();
      const ill = new Set([...FAILING, ...THROTTLED]);
      const healthy = new Set(published.filter(({ merchant }) => !ill.has(merchant)).map(({ key }) => key));
      const proxy = await stage.proxy();
      let publishes = 0;
      proxy.policy = ({ kind }) => {
        if (kind === 'basic.publish') publishes++;
        return 'pass';
      };
      const limits = ['-c', '20', '--max-attempts', '100'];
      const worker = await stage.work('-b', proxy.url, ...limits, '--backoff', '100ms', '--backoff-max', '1s');
      await merchants.until(({ requests }) => requests >= 50);
      await stage.broker.ctl(...raise);
      stage.after(() => stage.broker.ctl(...clear));
      await worker.log.until(
        'the broker takes no more messages for now: retries, dead letters and outcome events wait',
      );
      await merchants.until(
        () =>
          [...merchants.receipts].filter(({ key, accepted }) => accepted > 0 && healthy.has(key)).length ===
          healthy.size,
      );
      const written = publishes;
      // Acks too have flowed on: what is unsettled now is no more than the ill ones' orders.
      await stage.until(worker, ({ unsettled }) => unsettled <= published.length - healthy.size);
      if (publishes > written)
        throw new Error(`expected no publish to a broker that takes none, got ${publishes - written}`);
      const clearedAt = performance.now();
      await stage.broker.ctl(...clear);
      const recoveredMs = [await stage.nextCall(clearedAt)];
      await stage.ended(worker);
      return { bound: 0, recoveredMs };
    },
  };
}

export const memoryAlarm: Row = alarm(
  'memory-alarm',
  'memory alarm while merchants fail and are held',
  ['set_vm_memory_high_watermark', 'absolute', '1MB'],
  ['set_vm_memory_high_watermark', 'absolute', '512MB'],
);

export const diskAlarm: Row = alarm(
  'disk-alarm',
  'disk alarm while merchants fail and are held',
  ['set_disk_free_limit', '900000GB'],
  ['set_disk_free_limit', '64MB'],
);
