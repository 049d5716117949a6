import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseScenario } from '../../../src/sim/scenario.ts';
import { QUICK } from '../cutting.ts';
import type { Row } from '../row.ts';
import type { Stage } from '../stage.ts';

const BLOCKED = /^the broker takes no more messages for now/;
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
      await worker.log.until(BLOCKED);
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

const NO_MEMORY = ['set_vm_memory_high_watermark', 'absolute', '1MB'];
const MEMORY = ['set_vm_memory_high_watermark', 'absolute', '512MB'];

export const memoryAlarm: Row = alarm(
  'memory-alarm',
  'memory alarm while merchants fail and are held',
  NO_MEMORY,
  MEMORY,
);

export const diskAlarm: Row = alarm(
  'disk-alarm',
  'disk alarm while merchants fail and are held',
  ['set_disk_free_limit', '900000GB'],
  ['set_disk_free_limit', '64MB'],
);

/** So many that none of them has more in the window than it may have in flight: none is deferred before the alarm is known. */
const MERCHANTS = 20;
/** Of these merchants nothing is settled while the alarm lasts: held by a 429, and silent. */
const STANDING = ['m-1', 'm-2', 'm-3', 'm-4', 'm-5', 'm-6'];
const STANDING_STILL = {
  ...QUICK,
  rules: [
    { merchants: { ids: STANDING.slice(0, 4) }, failing: { status: 429 } },
    { merchants: { ids: STANDING.slice(4) }, silent: true },
  ],
};
const HEARTBEAT_S = 2;
/** The broker sends two of them in this time: more than the three after which a dead peer is given up. */
const HEARTBEATS = 4 * 2;

/**
 * Orders that must be deferred and cannot be: they wait in the window, and until they have filled it no order of another
 * merchant has to.
 */
export const alarmDeferring: Row = {
  name: 'alarm-deferring',
  fault: 'memory alarm while orders of held and silent merchants must be deferred and fill the window',
  async play(stage) {
    const [orders, prefetch] = [1_500, 200];
    const merchants = await stage.merchants(STANDING_STILL);
    const merchantOf = (n: number): string => `m-${1 + (n % MERCHANTS)}`;
    const file = join(stage.dir, 'orders.ndjson');
    const lines = Array.from({ length: orders }, (_, n) =>
      JSON.stringify({ id: `o-${n}`, merchant_id: merchantOf(n) }),
    );
    await writeFile(file, `${lines.join('\n')}\n`);
    await stage.publish({ file });
    // The queue keeps their order: until so many that stand still have come, the window has room.
    let standing = 0;
    const before = new Set<string>();
    for (let n = 0; standing < prefetch; n++) {
      if (STANDING.includes(merchantOf(n))) standing++;
      else before.add(`o-${n}`);
    }
    const healthy = new Set((await stage.messages()).filter(({ order }) => before.has(order)).map(({ key }) => key));
    const proxy = await stage.proxy();
    let [publishes, heartbeats] = [0, 0];
    proxy.policy = ({ connection, from, kind }) => {
      if (kind === 'basic.publish') publishes++;
      if (kind === 'heartbeat' && from === 'broker' && connection.name === 'orderlane publishing') heartbeats++;
      return 'pass';
    };
    await stage.broker.ctl(...NO_MEMORY);
    stage.after(() => stage.broker.ctl(...MEMORY));
    const limits = ['--prefetch', String(prefetch), '--timeout', '2s', '--max-attempts', '100'];
    const worker = await stage.work('-b', `${proxy.url}?heartbeat=${HEARTBEAT_S}`, ...limits, '--backoff-max', '1s');
    await worker.log.until(BLOCKED);
    // Until the first publish nobody knows of the alarm: on a busy machine a few of theirs may be sent away by then, too.
    const away = (): number => {
      const lines = [...worker.log.matching('defer'), ...worker.log.matching('retry')];
      return new Set(lines.map(({ identity }) => String(identity)).filter((each) => healthy.has(each))).size;
    };
    await merchants.until(() => {
      const taken = [...merchants.receipts].filter(({ key, accepted }) => accepted > 0 && healthy.has(key)).length;
      return taken + away() >= healthy.size;
    });
    if (away() > healthy.size / 10) throw new Error(`expected few healthy orders to be sent away, ${away()} were`);
    await stage.until(worker, ({ unsettled }) => unsettled === prefetch);
    const [written, heard] = [publishes, heartbeats];
    await proxy.until(`${HEARTBEATS} heartbeats`, () => heartbeats >= heard + HEARTBEATS);
    if (publishes > written)
      throw new Error(`expected no publish to a broker that takes none, got ${publishes - written}`);
    const lost = worker.log.matching(/connection lost/);
    if (lost.length > 0) throw new Error(`expected no connection to be lost, got ${JSON.stringify(lost[0])}`);
    merchants.setScenario(parseScenario(QUICK));
    const clearedAt = performance.now();
    await stage.broker.ctl(...MEMORY);
    await worker.log.until('the broker takes messages again');
    const recoveredMs = [await stage.nextCall(clearedAt)];
    await stage.ended(worker);
    if (worker.log.matching('defer').length === 0) throw new Error('expected orders to be deferred after the alarm');
    return { bound: 0, recoveredMs };
  },
};
