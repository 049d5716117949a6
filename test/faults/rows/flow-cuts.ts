import { below } from '../../../src/sim/random.ts';
import type { Command } from '../../helpers/command.ts';
import type { AmqpProxy, Side } from '../amqp-proxy.ts';
import { cutOnce, QUICK, ROLES, SIDES, sweep, wayOf } from '../cutting.ts';
import type { Row } from '../row.ts';
import { ENDLESS, type Stage } from '../stage.ts';

/** Orders a second. */
const RATE = 50;
/** Half of the calls fail, so that retries are published, and none of the orders may end in the dead queue for it. */
const HALF_FAILS = { default: { ...QUICK.default, failing: { status: 500, fraction: 0.5 } } };
const PATIENT = ['--max-attempts', '100', '--backoff', '100ms', '--backoff-max', '500ms'];
/** A message is three frames; so many are several of them, with the acks and confirms in between. */
const FLOW_FRAMES = 24;

/** At every frame after the setup, of each side of each connection; a few at random without `FULL`. */
export const flowCut: Row = {
  name: 'flow-cut',
  fault: `socket cut at every Nth frame of publishing and consuming, N to ${FLOW_FRAMES}`,
  limitMs: 900_000,
  async play(stage) {
    const places = ROLES.flatMap((role) =>
      SIDES.flatMap((side) => Array.from({ length: FLOW_FRAMES }, (_, n) => ({ role, side, n: n + 1 }))),
    );
    const cuts = stage.full ? places : Array.from({ length: 8 }, () => places[below(stage.random, places.length)]);
    const { proxy, worker, end } = await retrying(stage);
    const recoveredMs: number[] = [];
    for (const cut of cuts) {
      const { role, side, n } = cut as (typeof places)[number];
      recoveredMs.push(await cutNth(stage, proxy, worker, role, side, n));
    }
    await end();
    return { bound: 0, recoveredMs };
  },
};

async function cutNth(
  stage: Stage,
  proxy: AmqpProxy,
  worker: Command,
  role: string,
  side: Side,
  n: number,
): Promise<number> {
  const [connection] = proxy.named(`orderlane ${role}`);
  const at = (connection?.count(side) ?? 0) + n;
  const how = wayOf(n, stage.seed);
  return await cutOnce(proxy, worker, role, (frame) =>
    frame.connection === connection && frame.from === side && frame.number >= at ? how : 'pass',
  );
}

/** The queue has the retry, and we are not told: it is published again, and the second copy must find the first. */
export const confirmLost: Row = {
  name: 'confirm-lost',
  fault: 'confirms of retries lost',
  limitMs: 900_000,
  async play(stage) {
    const cuts = stage.full ? 50 : 5;
    const { proxy, worker, end } = await retrying(stage);
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
    await end();
    return { bound: 0, recoveredMs };
  },
};

/** A worker behind a proxy, under load, with retries on the ladder. */
async function retrying(
  stage: Stage,
): Promise<{ readonly proxy: AmqpProxy; readonly worker: Command; readonly end: () => Promise<void> }> {
  await stage.merchants(HALF_FAILS);
  const proxy = await stage.proxy();
  const load = await stage.publishing({ orders: ENDLESS, rate: 2 * RATE });
  const worker = await stage.work('-b', proxy.url, ...PATIENT);
  await stage.until(worker, ({ onLadder }) => onLadder > 0);
  return {
    proxy,
    worker,
    end: async () => {
      await load.stop();
      await stage.ended(worker);
    },
  };
}

/** What never arrives comes back each time: nobody may take it for what processes die of, because none has. */
export const deliveriesLost: Row = {
  name: 'deliveries-lost',
  fault: 'socket cut before deliveries arrive, ten times in a row',
  short: true,
  async play(stage) {
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    await stage.publish({ orders: 200 });
    let cuts = 10;
    proxy.policy = ({ kind }) => (kind === 'basic.deliver' && --cuts >= 0 ? 'cut-before' : 'pass');
    const worker = await stage.work('-b', proxy.url);
    await proxy.until('the last cut', () => cuts <= 0);
    const recoveredMs = [await stage.nextCall()];
    await stage.ended(worker);
    const suspected = worker.log.matching(/process may have died of it/);
    if (suspected.length > 0) throw new Error(`expected no order to be suspected, got ${suspected.length}`);
    return { bound: 0, recoveredMs };
  },
};

/** The process ends, and a connection with it, at one frame more than the last; the frames of both count together. */
export const closeCut: Row = {
  name: 'close-cut',
  fault: 'socket cut at every Nth frame of the close',
  limitMs: 900_000,
  async play(stage) {
    const prefetch = 50;
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    const load = await stage.publishing({ orders: ENDLESS, rate: RATE });
    const recoveredMs: number[] = [];
    const step = stage.full ? 1 : 5;
    const closes = await sweep(
      async (n) => {
        const startedAt = performance.now();
        const worker = await stage.work('-b', proxy.url, '--prefetch', String(prefetch));
        recoveredMs.push(await stage.nextCall(startedAt));
        const struck = proxy.struck;
        let left: number | undefined;
        proxy.policy = ({ kind }) => {
          if (kind === 'basic.cancel') left ??= n;
          if (left !== undefined) left--;
          return left === 0 ? wayOf(n, stage.seed) : 'pass';
        };
        worker.signal('SIGTERM');
        await stage.ended(worker);
        proxy.pass();
        return proxy.struck > struck;
      },
      { first: 1 + below(stage.random, step), step },
    );
    const worker = await stage.work();
    await load.stop();
    await stage.ended(worker);
    // What was in flight, or whose acks were on their way, comes again to the next process.
    return { bound: closes * prefetch, boundPerMessage: closes, recoveredMs };
  },
};

/** `orderlane publish` from its first frame to its last: it ends well, and what it says is confirmed is there. */
export const publisherCut: Row = {
  name: 'publisher-cut',
  fault: 'socket of `orderlane publish` cut at every Nth frame, from connect to close',
  limitMs: 1_800_000,
  async play(stage) {
    const orders = 10;
    await stage.merchants(QUICK);
    const proxy = await stage.proxy();
    let runs = 0;
    for (const side of SIDES) {
      const step = stage.full ? 1 : 8;
      runs += await sweep(
        async (n) => {
          const struck = proxy.struck;
          const wanted = proxy.opened + 1;
          proxy.policy = ({ connection, from, number }) =>
            connection.number === wanted && from === side && number === n ? wayOf(n, stage.seed) : 'pass';
          await stage.publish({ orders, broker: proxy.url });
          return proxy.struck > struck;
        },
        { first: 1 + below(stage.random, step), step },
      );
    }
    const confirmed = (await stage.messages()).filter(({ confirmedAt }) => confirmedAt != null).length;
    if (confirmed !== runs * orders) throw new Error(`expected ${runs * orders} confirmed orders, got ${confirmed}`);
    const worker = await stage.work();
    await stage.ended(worker);
    // What it has published twice, for want of a confirm, are two messages with one key.
    return { bound: stage.republished, boundPerMessage: 1, recoveredMs: [] };
  },
};
