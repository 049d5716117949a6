import { below } from '../../../src/sim/random.ts';
import type { Command } from '../../helpers/command.ts';
import type { Row } from '../row.ts';
import { ENDLESS, type Stage } from '../stage.ts';

const QUICK = { default: { latency: { distribution: 'uniform', min: '5ms', max: '60ms' } } };
/** Orders a second. */
const RATE = 100;
/**
 * Calls that merchants get before each fault. A RabbitMQ 3.10 that is killed within moments of declaring a quorum queue
 * comes back with one that answers nothing, and that is not what these rows are about.
 */
const BEFORE = 4 * RATE;
const HEARTBEAT_S = 2;
const LOST = /^(consuming|publishing) connection lost; reconnecting$/;
const BACK = /^(consuming|publishing) connection is back$/;

/** All orders are in flight when every connection is closed: each redelivery finds its send alive. */
export const connectionsClosed: Row = {
  name: 'connections-closed',
  fault: 'all connections closed with 500 in flight',
  short: true,
  async play(stage) {
    const orders = 500;
    const closes = stage.full ? 10 : 2;
    await stage.merchants({ default: { latency: { distribution: 'fixed', value: `${4 * closes}s` } } });
    await stage.publish({ orders });
    const worker = await stage.work('--timeout', '2m', '--shutdown-timeout', '2m');
    const recoveredMs: number[] = [];
    for (let times = 1; times <= closes; times++) {
      await stage.until(worker, ({ inFlight, unsettled }) => inFlight === orders && unsettled === orders);
      const closedAt = performance.now();
      await stage.broker.ctl('close_all_connections', 'a fault');
      await worker.log.nth(times, 'consuming connection is back');
      await stage.until(worker, ({ joined }) => joined === orders * times);
      recoveredMs.push(performance.now() - closedAt);
    }
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** Under load; the publisher loses its connection too. */
function brokerLost(
  name: string,
  fault: string,
  fell: (stage: Stage, worker: Command) => Promise<number>,
  args: (stage: Stage) => Promise<readonly string[]> = async () => [],
): Row {
  return {
    name,
    fault,
    limitMs: 300_000,
    async play(stage) {
      const times = stage.full ? 5 : 1;
      const merchants = await stage.merchants(QUICK);
      const load = await stage.publishing({ orders: ENDLESS, rate: RATE });
      const given = await args(stage);
      const worker = await stage.lasting(...given);
      const recoveredMs: number[] = [];
      for (let n = 0; n < times; n++) {
        const { requests } = merchants.stats(0);
        await merchants.until((counts) => counts.requests >= requests + BEFORE);
        const overAt = await fell(stage, worker);
        recoveredMs.push(await stage.nextCall(overAt));
      }
      await load.stop();
      worker.signal('SIGTERM');
      await stage.ended(worker);
      await stage.ended(await stage.work(...given));
      // What the publisher has published twice, for want of a confirm, are two messages with one key.
      return { bound: stage.republished, recoveredMs };
    },
  };
}

export const brokerRestarted: Row = brokerLost('broker-restarted', 'broker stopped and started', async ({ broker }) => {
  await broker.restart('SIGTERM');
  return performance.now();
});

export const brokerKilled: Row = brokerLost('broker-killed', 'broker killed and started', async ({ broker }) => {
  await broker.restart('SIGKILL');
  return performance.now();
});

export const brokerFrozen: Row = brokerLost(
  'broker-frozen',
  'broker frozen (SIGSTOP)',
  async (stage, worker) => {
    const seen = worker.log.matching(LOST).length;
    const frozenAt = performance.now();
    stage.broker.freeze();
    stage.after(() => stage.broker.thaw());
    await noticed(worker, seen, frozenAt);
    stage.broker.thaw();
    return performance.now();
  },
  async ({ broker }) => ['-b', `${broker.url}?heartbeat=${HEARTBEAT_S}`],
);

/** Both connections vanish at a random moment, and those that are tried while it lasts. */
export const blackHole: Row = {
  name: 'black-hole',
  fault: 'broker black-holed (proxy)',
  limitMs: 300_000,
  async play(stage) {
    const times = stage.full ? 5 : 1;
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: RATE });
    const worker = await stage.work('-b', `${proxy.url}?heartbeat=${HEARTBEAT_S}`);
    const recoveredMs: number[] = [];
    for (let n = 0; n < times; n++) {
      await stage.nextCall();
      const seen = worker.log.matching(LOST).length;
      const back = worker.log.matching(BACK).length;
      let left = below(stage.random, 50);
      proxy.policy = () => (left-- > 0 ? 'pass' : 'black-hole');
      await proxy.until('a frame that vanishes', () => left < 0);
      for (const name of ['orderlane consuming', 'orderlane publishing']) {
        for (const connection of proxy.named(name)) connection.blackHole();
      }
      await noticed(worker, seen, performance.now());
      proxy.pass();
      const overAt = performance.now();
      await worker.log.nth(back + 2, BACK);
      recoveredMs.push(await stage.nextCall(overAt));
    }
    await load.stop();
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** Both connections are given up within three heartbeats. */
async function noticed(worker: Command, before: number, since: number): Promise<void> {
  await worker.log.nth(before + 2, LOST);
  const tookMs = performance.now() - since;
  if (tookMs <= 3 * HEARTBEAT_S * 1000) return;
  throw new Error(`expected to be noticed within 3 heartbeats of ${HEARTBEAT_S} s, took ${Math.round(tookMs)} ms`);
}
