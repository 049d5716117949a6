import { below } from '../../../src/sim/random.ts';
import type { Command } from '../../helpers/command.ts';
import type { AmqpProxy } from '../amqp-proxy.ts';
import { QUICK, ROLES, SIDES, sweep, wayOf } from '../cutting.ts';
import type { Row } from '../row.ts';
import { ENDLESS, type Stage } from '../stage.ts';

/** With which frame of the broker's a connection is set up. */
const LAST: Readonly<Record<string, string>> = { publishing: 'confirm.select-ok', consuming: 'basic.consume-ok' };
/** Orders a second. */
const RATE = 50;
/** So many processes are started beside each other. */
const PLACES = 4;
/** Each is told to stop at its first order: more would pile up from one to the next. */
const START_RATE = 10;

/** Every connection attempt is cut at one frame more than the last, until one is set up before it comes to that. */
export const setupCut: Row = {
  name: 'setup-cut',
  fault: 'socket cut at every Nth frame of connect and setup, reconnecting',
  limitMs: 900_000,
  async play(stage) {
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: RATE });
    const worker = await stage.work('-b', proxy.url);
    const recoveredMs: number[] = [];
    for (const role of ROLES) {
      for (const side of SIDES) {
        const step = stage.full || role === 'publishing' ? 1 : 8;
        await sweep(
          async (n) => {
            const tookMs = await cutSetup(stage, proxy, worker, role, side, n);
            if (tookMs !== undefined) recoveredMs.push(tookMs);
            return tookMs !== undefined;
          },
          { first: 1 + below(stage.random, step), step },
        );
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
  side: string,
  n: number,
): Promise<number | undefined> {
  const back = `${role} connection is back`;
  const before = worker.log.matching(back).length;
  const earlier = proxy.opened;
  const how = wayOf(n, stage.seed);
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

/** The same for a process that has only just been started: the publishing connection is its first, the consuming one its second. */
export const startCut: Row = {
  name: 'start-cut',
  fault: 'socket cut at every Nth frame of connect and setup, starting',
  limitMs: 1_800_000,
  async play(stage) {
    await stage.merchants(QUICK);
    const proxies = await Promise.all(Array.from({ length: PLACES }, () => stage.proxy()));
    const load = await stage.publishing({ orders: ENDLESS, rate: START_RATE });
    const recoveredMs: number[] = [];
    for (const [index, role] of ROLES.entries()) {
      for (const side of SIDES) {
        const step = stage.full ? 1 : ([3, 20][index] as number);
        const first = 1 + below(stage.random, step);
        await sweep(
          async (n, place) => {
            const tookMs = await cutStart(stage, proxies[place] as AmqpProxy, role, side, n);
            if (tookMs !== undefined) recoveredMs.push(tookMs);
            return tookMs !== undefined;
          },
          { first, step, places: PLACES },
        );
      }
    }
    const worker = await stage.work();
    await load.stop();
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** How long a process took to have its first order after a cut at the nth frame; undefined when it was set up before that. */
async function cutStart(
  stage: Stage,
  proxy: AmqpProxy,
  role: (typeof ROLES)[number],
  side: string,
  n: number,
): Promise<number | undefined> {
  const wanted = proxy.opened + 1 + ROLES.indexOf(role);
  const how = wayOf(n, stage.seed);
  let struckAt: number | undefined;
  let isOver = false;
  proxy.policy = ({ connection, from, number, kind }) => {
    if (isOver || connection.number !== wanted) return 'pass';
    if (from === side && number === n) {
      struckAt = performance.now();
      return how;
    }
    isOver = kind === LAST[role];
    return 'pass';
  };
  const worker = stage.startWork('-b', proxy.url);
  await stage.until(worker, ({ received }) => received > 0);
  const hasOrderAt = performance.now();
  proxy.pass();
  worker.signal('SIGTERM');
  await stage.ended(worker);
  return struckAt === undefined ? undefined : hasOrderAt - struckAt;
}
