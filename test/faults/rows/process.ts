import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { uniform } from '../../../src/sim/random.ts';
import { parseScenario } from '../../../src/sim/scenario.ts';
import type { TakenMessage } from '../../../src/sim/take-all.ts';
import type { Command } from '../../helpers/command.ts';
import type { Row } from '../row.ts';
import { ENDLESS, type Reading } from '../stage.ts';

const LATENCY = { default: { latency: { distribution: 'uniform', min: '5ms', max: '60ms' } } };

/** SIGKILL at a merchant's receipt, and the next time at its 2xx, which the broker has not been told of then. */
export const kill: Row = {
  name: 'kill',
  fault: 'SIGKILL of the process, at a receipt or between a 2xx and its ack',
  short: true,
  limitMs: 600_000,
  async play(stage) {
    const [orders, kills] = stage.full ? [10_000, 20] : [1_000, 4];
    const prefetch = 250;
    const merchants = await stage.merchants(LATENCY);
    await stage.publish({ orders });
    const recoveredMs: number[] = [];
    let worker = await stage.work('--prefetch', String(prefetch));
    for (let n = 0; n < kills; n++) {
      const { requests, accepted } = merchants.stats(0);
      const more = Math.round(uniform(stage.random, 0.3, 0.8) * (orders / (kills + 1)));
      await merchants.until((counts) =>
        n % 2 === 0 ? counts.requests >= requests + more : counts.accepted >= accepted + more,
      );
      const killedAt = performance.now();
      worker.signal('SIGKILL');
      await worker.ended;
      worker = await stage.work('--prefetch', String(prefetch));
      recoveredMs.push(await stage.nextCall(killedAt));
    }
    await stage.ended(worker);
    // The queue may have taken in none of the acks of the last moments: all that it had given out comes again.
    return { bound: kills * prefetch, boundPerMessage: kills, recoveredMs };
  },
};

/**
 * More crashes than RabbitMQ 4's default delivery limit, with the prefetch window full of orders that nobody sent, and from then
 * on with whatever is on trial in flight: hit from outside in the midst of it, it is not condemned for that.
 */
export const crashLoop: Row = {
  name: 'crash-loop',
  fault: '25 crashes with a full prefetch window',
  limitMs: 600_000,
  async play(stage) {
    const [window, inFlight, crashes] = [400, 100, 25];
    const merchants = await stage.merchants({ default: { silent: true } });
    await stage.publish({ orders: window + 100 });
    // Of 50 merchants.
    const args = ['--prefetch', String(window), '--merchant-concurrency', '2'];
    for (let n = 0; n < crashes; n++) {
      const worker = await stage.work(...args);
      // Those that have come back three times run among few, and then alone.
      const isFull = (reading: Reading): boolean => reading.unsettled === window && reading.inFlight === inFlight;
      await stage.until(worker, n < 3 ? isFull : (reading) => reading.inFlight > 0);
      worker.signal('SIGKILL');
      await worker.ended;
    }
    const alone = stage.workers.flatMap(({ log }) => log.matching(/it is to run alone/));
    if (alone.length === 0) throw new Error('expected crashes enough for orders to run alone, none did');
    merchants.setScenario(parseScenario({}));
    const begun = performance.now();
    const last = await stage.work(...args);
    const recoveredMs = [await stage.nextCall(begun)];
    await stage.ended(last);
    return { bound: crashes * inFlight, boundPerMessage: crashes, recoveredMs }; // nobody answers, so nothing is acked
  },
};

/** A new process for an old one, again and again, under load. */
export const rollingStops: Row = {
  name: 'rolling-stops',
  fault: 'rolling SIGTERMs under load',
  short: true,
  limitMs: 900_000,
  async play(stage) {
    const stops = stage.full ? 100 : 4;
    await stage.merchants(LATENCY);
    const load = await stage.publishing({ orders: ENDLESS, rate: 200 });
    const recoveredMs: number[] = [];
    const ambiguous: string[] = [];
    let old = await stage.work();
    await stage.nextCall();
    for (let n = 0; n < stops; n++) {
      const fresh: Command = await stage.work();
      old.signal('SIGTERM');
      await stage.ended(old); // with 4 if it needed more than --shutdown-timeout
      const said = old.log.all.filter((line) => line['outcome'] === 'ambiguous');
      ambiguous.push(...said.map((line) => JSON.stringify(line)));
      recoveredMs.push(await stage.nextCall());
      old = fresh;
    }
    await load.stop();
    await stage.ended(old);
    if (ambiguous.length > 0)
      throw new Error(`expected no ambiguous outcome, got ${ambiguous.length}: ${ambiguous[0]}`);
    return { bound: 0, recoveredMs };
  },
};

const KILLER = fileURLToPath(new URL('../handlers/process-killer.ts', import.meta.url));
const MAX_CRASHES = 3;
/** It comes back three times, is lost among few, and is then lost alone. */
const DEATHS = 4 + MAX_CRASHES;

/** One order kills its process whenever it runs: it is found, nobody else is blamed, and the processes live on. */
export const poison: Row = {
  name: 'poison',
  fault: 'an order that kills the whole process whenever it runs',
  limitMs: 600_000,
  async play(stage) {
    const [orders, prefetch, concurrency] = [stage.full ? 5_000 : 600, 400, 200];
    await stage.merchants({ default: { latency: { distribution: 'uniform', min: '20ms', max: '200ms' } } });
    const lines: string[] = [];
    for (let n = 0; n < orders; n++) lines.push(JSON.stringify({ id: `o-${n}`, merchant_id: `m-${1 + (n % 20)}` }));
    lines.splice(orders / 4, 0, JSON.stringify({ id: 'bad', merchant_id: 'm-7', act: 'kills its process' }));
    const file = join(stage.dir, 'orders.ndjson');
    await writeFile(file, `${lines.join('\n')}\n`);
    await stage.publish({ file });
    const limits = ['--prefetch', String(prefetch), '-c', String(concurrency), '--max-crashes', String(MAX_CRASHES)];
    const recoveredMs: number[] = [];
    let deaths = 0;
    for (;;) {
      const begun = performance.now();
      const worker = stage.startWork('--handler', KILLER, ...limits);
      let calledMs: number | undefined;
      stage.nextCall(begun).then(
        (ms) => (calledMs = ms),
        () => undefined, // all but the bad order had ended before, and the merchants have stopped
      );
      const end = await worker.ended;
      if (end === 0) {
        if (calledMs !== undefined) recoveredMs.push(calledMs);
        break;
      }
      if (end !== 'SIGKILL')
        throw new Error(`expected work to be killed or to end with 0, got ${end}: ${worker.stderr()}`);
      if (++deaths > DEATHS) throw new Error(`expected the order to be found after ${DEATHS} deaths, it kills on`);
    }
    if (deaths !== DEATHS) throw new Error(`expected ${DEATHS} processes to die of it, ${deaths} did`);
    // The bad order is never posted, so when one order is dead and none is lost, it is that one.
    const judgeDead = (dead: readonly TakenMessage[]): string[] =>
      dead
        .filter(({ reason }) => reason !== 'process-crash')
        .map((each) => `expected process-crash, got ${each.reason}`);
    // Of what was in flight at a death nobody has heard the end.
    const bound = DEATHS * prefetch;
    return { bound, boundPerMessage: DEATHS, recoveredMs, deadLettered: 1, judgeDead };
  },
};
