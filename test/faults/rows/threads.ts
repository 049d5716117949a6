import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shardOf } from '../../../src/dispatcher/shard-key.ts';
import { type PublishedMessage, percentile } from '../../../src/sim/checker.ts';
import type { Receipt } from '../../../src/sim/receipts.ts';
import { parseScenario } from '../../../src/sim/scenario.ts';
import type { Command } from '../../helpers/command.ts';
import type { Row } from '../row.ts';
import { ENDLESS } from '../stage.ts';

const HANDLER = fileURLToPath(new URL('../handlers/thread-killer.ts', import.meta.url));
const SHARDS = 2;
const MERCHANTS = 20;
const BAD = 'm-7';
const SHARD = shardOf(BAD, SHARDS);
/** It asks to be left alone before the thread is lost that calls it, too. */
const HELD = Array.from({ length: 99 }, (_, n) => `held-${n}`).find((id) => shardOf(id, SHARDS) === SHARD) as string;
const HOLD_S = 30;
const MAX_CRASHES = 2;
const CONCURRENCY = 100;
const BACK_WITHIN_MS = 2_000;
/** Orders a second. */
const RATE = 200;
/** A process that does not hear of its broker, or is not heard, for twice this long has lost it. */
const HEARTBEAT_S = 2;
const LATENCY = { default: { latency: { distribution: 'uniform', min: '20ms', max: '200ms' } } };
const REFUSING = {
  merchants: { ids: [HELD] },
  rateLimited: { perSecond: 0.01, retryAfter: `${HOLD_S}s` },
};

/** One order ends its thread whenever it runs, under load; all others, of its own shard too, are delivered. */
function threadLost(name: string, act: string, fault: string, args: readonly string[] = []): Row {
  return {
    name,
    fault,
    async play(stage) {
      const measuredS = stage.full ? 30 : 10;
      const merchants = await stage.merchants(LATENCY);
      const calls = async (seconds: number): Promise<number> => {
        const { requests } = merchants.stats(0);
        await merchants.until((counts) => counts.requests >= requests + seconds * RATE);
        return Date.now();
      };
      const publish = async (file: string, orders: readonly object[]): Promise<void> => {
        const path = join(stage.dir, file);
        await writeFile(path, orders.map((order) => `${JSON.stringify(order)}\n`).join(''));
        await stage.publish({ file: path });
      };
      const load = await stage.publishing({ orders: ENDLESS, rate: RATE, merchants: MERCHANTS });
      const broker = ['-b', `${stage.broker.url}?heartbeat=${HEARTBEAT_S}`];
      const limits = ['-c', String(CONCURRENCY), '--max-crashes', String(MAX_CRASHES), '--backoff', '100ms'];
      const worker = await stage.work(...broker, '--handler', HANDLER, ...limits, ...args);
      const calmFrom = await calls(3);
      await calls(measuredS);
      merchants.setScenario(parseScenario({ ...LATENCY, rules: [REFUSING] }));
      await publish('held.ndjson', heldOrders('early'));
      await merchants.until(({ refused }) => refused > 0);
      merchants.setScenario(parseScenario(LATENCY));
      const faultAt = Date.now();
      await publish('bad.ndjson', [...heldOrders('late'), { id: 'bad', merchant_id: BAD, act }]);
      const measured = calls(measuredS);
      await worker.log.until((line) => line.msg === 'dead-lettered' && line['order'] === 'bad');
      const endedAt = await measured;
      await load.stop();
      await stage.ended(worker);

      const losses = lossesOf(worker);
      const recoveredMs = losses.map(({ at, backAt }) => backAt - at);
      if (losses.length !== MAX_CRASHES) {
        throw new Error(`expected ${MAX_CRASHES} losses of shard ${SHARD}, got ${losses.length}`);
      }
      const late = recoveredMs.filter((ms) => ms > BACK_WITHIN_MS);
      if (late.length > 0)
        throw new Error(`expected the shard back within ${BACK_WITHIN_MS} ms, took ${late.join(', ')}`);
      const dropped = worker.log.matching(/connection lost/);
      if (dropped.length > 0) throw new Error(`expected the broker's connections to live on, got ${dropped[0]?.msg}`);
      const messages = await stage.messages();
      const receipts = new Map([...stage.receipts].map((receipt) => [receipt.key, receipt]));
      const calm = p99Of(messages, receipts, calmFrom, faultAt);
      const faulty = p99Of(messages, receipts, faultAt, endedAt);
      const shown = [
        `p99 of the other shard from due to accepted: ${faulty} ms, ${(faulty / calm).toFixed(2)} of calm (goal 1.2)`,
        judgeClasses(worker, losses, receipts),
        judgeHold(messages, receipts, faultAt, losses),
      ];
      // What a lost thread had sent, and had not told the answer of, is ambiguous, and is sent once more.
      return { bound: MAX_CRASHES * CONCURRENCY, boundPerMessage: MAX_CRASHES, recoveredMs, deadLettered: 1, shown };
    },
  };
}

interface Lost {
  readonly at: number;
  /** When the shard was ready again. */
  readonly backAt: number;
  /** How the slot table judged what the thread had in hand. */
  readonly handed: number;
  readonly sending: number;
}

function heldOrders(when: string): object[] {
  return Array.from({ length: 5 }, (_, n) => ({ id: `${when}-${n}`, merchant_id: HELD }));
}

/** Of the merchants that the lost thread does not call, in milliseconds. */
function p99Of(
  messages: readonly PublishedMessage[],
  receipts: ReadonlyMap<string, Receipt>,
  from: number,
  until: number,
): number {
  const took: number[] = [];
  for (const { key, merchant, intendedAt } of messages) {
    if (intendedAt < from || intendedAt >= until || shardOf(merchant, SHARDS) === SHARD) continue;
    const acceptedAt = receipts.get(key)?.acceptedAt ?? Number.POSITIVE_INFINITY;
    took.push(acceptedAt - intendedAt);
  }
  return Math.round(percentile(Float64Array.from(took).sort(), 99) ?? Number.NaN);
}

/** Only what was classed as perhaps sent may come to a merchant twice; says how much was classed as what. */
function judgeClasses(worker: Command, losses: readonly Lost[], receipts: ReadonlyMap<string, Receipt>): string {
  const sum = (of: (loss: Lost) => number): number => losses.reduce((total, loss) => total + of(loss), 0);
  const [handed, sending] = [sum((loss) => loss.handed), sum((loss) => loss.sending)];
  const told = worker.log.all
    .filter((line) => line['outcome'] === 'ambiguous')
    .map((line) => line['identity'] as string);
  if (told.length !== sending) throw new Error(`expected ${sending} ambiguous outcomes, got ${told.length}`);
  const maybe = new Set(told);
  // Besides those that were refused: they are sent again by plan.
  const twice = [...receipts.values()].filter(({ sends, answers }) => sends - (answers['429'] ?? 0) > 1);
  const wrong = twice.filter(({ key }) => !maybe.has(key));
  if (wrong.length > 0) throw new Error(`classed as not sent, and sent before: ${wrong[0]?.key}`);
  return `in hand at ${losses.length} losses: ${handed} not sent, ${sending} perhaps sent, of which ${twice.length} had arrived`;
}

/** What came while its merchant was held was not sent before that was over, though the thread is another one. */
function judgeHold(
  messages: readonly PublishedMessage[],
  receipts: ReadonlyMap<string, Receipt>,
  refusedAt: number,
  losses: readonly Lost[],
): string {
  const dueAt = refusedAt + (HOLD_S - 1) * 1000; // of whole seconds, of which the first had begun
  const backAt = Math.min(...losses.map((loss) => loss.backAt));
  if (backAt > dueAt) throw new Error(`expected the shard back while ${HELD} was held, was ${backAt - dueAt} ms late`);
  const late = messages.filter(({ order }) => order.startsWith('late-')).map(({ key }) => receipts.get(key));
  const first = Math.min(...late.map((receipt) => receipt?.lastSentAt ?? 0));
  if (first < dueAt) throw new Error(`${HELD} was called ${dueAt - first} ms before its Retry-After was over`);
  return `a hold of ${HOLD_S} s outlived the thread: the next call came ${((first - refusedAt) / 1000).toFixed(1)} s after the refusal`;
}

/** Each time that the shard was lost; throws when another one was. */
function lossesOf(worker: Command): Lost[] {
  const losses: Lost[] = [];
  let lost: Omit<Lost, 'backAt'> | undefined;
  for (const line of worker.log.all) {
    const at = line['time'] as number;
    if (line.msg.startsWith('a thread was lost')) {
      if (line['shard'] !== SHARD) throw new Error(`expected shard ${SHARD} alone to be lost: ${JSON.stringify(line)}`);
      lost = { at, handed: line['handed'] as number, sending: line['sending'] as number };
    }
    const shards = line['shards'] as readonly { readonly state: string }[] | undefined;
    if (shards?.[SHARD]?.state !== 'ready' || lost === undefined) continue;
    losses.push({ ...lost, backAt: at });
    lost = undefined;
  }
  return losses;
}

export const threadRows: readonly Row[] = [
  threadLost('thread-error', 'throws unheard', 'thread: uncaught error'),
  threadLost('thread-rejection', 'rejects unheard', 'thread: unhandled rejection'),
  threadLost('thread-exit', 'exits', 'thread: process.exit'),
  threadLost('thread-memory', 'takes all memory', 'thread: out of memory'),
  threadLost('thread-loop', 'loops', 'thread: while (true)', ['--thread-timeout', '1s']),
];
