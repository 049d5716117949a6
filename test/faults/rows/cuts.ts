import { below, type Random } from '../../../src/sim/random.ts';
import type { Command } from '../../helpers/command.ts';
import type { AmqpProxy, Policy, Side } from '../amqp-proxy.ts';
import type { Row } from '../row.ts';
import { ENDLESS, type Stage } from '../stage.ts';

const QUICK = { default: { latency: { distribution: 'uniform', min: '5ms', max: '60ms' } } };
const SIDES: readonly Side[] = ['client', 'broker'];
const ROLES = ['publishing', 'consuming'] as const;
/** With which frame of the broker's a connection is set up. */
const LAST: Readonly<Record<string, string>> = { publishing: 'confirm.select-ok', consuming: 'basic.consume-ok' };
const RATE = 50;

/** Every connection attempt is cut at one frame more than the last, until one is set up before it comes to that. */
export const setupCut: Row = {
  name: 'setup-cut',
  fault: 'socket cut at every Nth frame of connect and setup, reconnecting',
  limitMs: 600_000,
  async play(stage) {
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: RATE });
    const worker = await stage.work('-b', proxy.url);
    const recoveredMs: number[] = [];
    for (const role of ROLES) {
      for (const side of SIDES) {
        const step = stage.full || role === 'publishing' ? 1 : 8;
        for (let n = 1 + below(stage.random, step); ; n += step) {
          const tookMs = await cutSetup(stage, proxy, worker, role, side, n);
          if (tookMs === undefined) break;
          recoveredMs.push(tookMs);
        }
      }
    }
    await stage.nextCall();
    await load.stop();
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** How long it took to be back after a cut at the nth frame of a side; undefined when it was set up before that. */
async function cutSetup(
  stage: Stage,
  proxy: AmqpProxy,
  worker: Command,
  role: string,
  side: Side,
  n: number,
): Promise<number | undefined> {
  const back = `${role} connection is back`;
  const before = worker.log.matching(back).length;
  const earlier = proxy.opened;
  const how = oneOf(stage.random, CUTS);
  let state: 'armed' | 'struck' | 'over' = 'armed';
  let struckAt = 0;
  proxy.policy = ({ connection, from, number, kind }) => {
    if (state !== 'armed' || connection.number <= earlier) return 'pass';
    if (from === side && number === n) {
      state = 'struck';
      struckAt = performance.now();
      return how;
    }
    if (kind === LAST[role]) state = 'over';
    return 'pass';
  };
  for (const connection of proxy.named(`orderlane ${role}`)) connection.cut();
  await worker.log.nth(before + 1, back);
  proxy.pass();
  return struckAt === 0 ? undefined : performance.now() - struckAt;
}

/** The same for a process that has only just been started. */
export const startCut: Row = {
  name: 'start-cut',
  fault: 'socket cut at the Nth frame of connect and setup, starting',
  limitMs: 900_000,
  async play(stage) {
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: RATE });
    const recoveredMs: number[] = [];
    // The publishing connection is the first one and has five frames or six of each side; the consuming one about fifty.
    const numbers: Readonly<Record<1 | 2, readonly number[]>> = stage.full
      ? { 1: [1, 2, 3, 4, 5], 2: [1, 2, 3, 4, 5, 10, 20, 30, 40, 50] }
      : { 1: [1 + below(stage.random, 5)], 2: [1 + below(stage.random, 45)] };
    const frames = ([1, 2] as const).flatMap((connection) =>
      SIDES.flatMap((side) => numbers[connection].map((n) => ({ connection, side, n }))),
    );
    for (const { connection, side, n } of frames) {
      const wanted = proxy.opened + connection;
      const how = oneOf(stage.random, CUTS);
      const struck = proxy.struck;
      proxy.policy = (frame) =>
        frame.connection.number === wanted && frame.from === side && frame.number === n ? how : 'pass';
      const worker = await stage.work('-b', proxy.url);
      recoveredMs.push(await stage.nextCall());
      if (proxy.struck === struck) throw new Error(`expected a frame ${n} of the ${side} on connection ${connection}`);
      worker.signal('SIGTERM');
      await stage.ended(worker);
    }
    proxy.pass();
    const worker = await stage.work();
    await load.stop();
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** Half of the calls fail, so that retries are published, at a random frame of which, or of deliveries and acks, it is cut. */
export const flowCut: Row = {
  name: 'flow-cut',
  fault: 'socket cut at a random frame while publishing and consuming',
  limitMs: 600_000,
  async play(stage) {
    const cuts = stage.full ? 100 : 8;
    await stage.merchants({ default: { ...QUICK.default, failing: { status: 500, fraction: 0.5 } } });
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: 2 * RATE });
    const worker = await stage.work('-b', proxy.url, ...PATIENT);
    const recoveredMs: number[] = [];
    await stage.until(worker, ({ onLadder }) => onLadder > 0);
    for (let n = 0; n < cuts; n++) {
      const role = oneOf(stage.random, ROLES);
      const side = oneOf(stage.random, SIDES);
      const how = oneOf(stage.random, CUTS);
      const [connection] = proxy.named(`orderlane ${role}`);
      const at = (connection?.count(side) ?? 0) + 1 + below(stage.random, 20);
      recoveredMs.push(
        await cutOnce(proxy, worker, role, (frame) =>
          frame.connection === connection && frame.from === side && frame.number >= at ? how : 'pass',
        ),
      );
    }
    await load.stop();
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** The queue has the retry, and we are not told: it is published again, and the second copy must find the first. */
export const confirmLost: Row = {
  name: 'confirm-lost',
  fault: 'confirms of retries lost',
  limitMs: 600_000,
  async play(stage) {
    const cuts = stage.full ? 50 : 5;
    await stage.merchants({ default: { ...QUICK.default, failing: { status: 500, fraction: 0.5 } } });
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: 2 * RATE });
    const worker = await stage.work('-b', proxy.url, ...PATIENT);
    const recoveredMs: number[] = [];
    for (let n = 0; n < cuts; n++) {
      recoveredMs.push(
        await cutOnce(proxy, worker, 'publishing', ({ connection, from, kind }) =>
          connection.name === 'orderlane publishing' && from === 'broker' && kind === 'basic.ack'
            ? 'cut-before'
            : 'pass',
        ),
      );
    }
    await load.stop();
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** The process ends, and a connection with it, at one frame more than the last. */
export const closeCut: Row = {
  name: 'close-cut',
  fault: 'socket cut at every Nth frame of the close',
  limitMs: 600_000,
  async play(stage) {
    const prefetch = 50;
    const frames = stage.full ? 24 : 6;
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: RATE });
    const recoveredMs: number[] = [];
    for (let n = 1; n <= frames; n++) {
      const startedAt = performance.now();
      const worker = await stage.work('-b', proxy.url, '--prefetch', String(prefetch));
      recoveredMs.push(await stage.nextCall(startedAt));
      const how = oneOf(stage.random, CUTS);
      let left = Number.POSITIVE_INFINITY;
      proxy.policy = ({ kind }) => {
        if (kind === 'basic.cancel') left = Math.min(left, n);
        left--;
        return left === 0 ? how : 'pass';
      };
      worker.signal('SIGTERM');
      await stage.ended(worker);
      proxy.pass();
    }
    const worker = await stage.work();
    await load.stop();
    await stage.ended(worker);
    // What was in flight, or whose acks were on their way, comes again to the next process.
    return { bound: frames * prefetch, boundPerMessage: frames, recoveredMs };
  },
};

const CUTS = ['cut-before', 'cut-within', 'cut-after'] as const;
/** Half of the calls fail, and none of the orders may end in the dead queue for it. */
const PATIENT = ['--max-attempts', '100', '--backoff', '100ms', '--backoff-max', '500ms'];

/** Cuts at the first frame that the policy does not let pass; resolves with the milliseconds until the role is back. */
async function cutOnce(proxy: AmqpProxy, worker: Command, role: string, policy: Policy): Promise<number> {
  const back = `${role} connection is back`;
  const before = worker.log.matching(back).length;
  let cutAt = 0;
  proxy.policy = (frame) => {
    const action = cutAt > 0 ? 'pass' : policy(frame);
    if (action !== 'pass') cutAt = performance.now();
    return action;
  };
  await proxy.until('the frame that is cut', () => cutAt > 0);
  await worker.log.nth(before + 1, back);
  proxy.pass();
  return performance.now() - cutAt;
}

function oneOf<T>(random: Random, values: readonly T[]): T {
  return values[below(random, values.length)] as T;
}
