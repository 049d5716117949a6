import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shardOf } from '../../../src/dispatcher/shard-key.ts';
import type { Command } from '../../helpers/command.ts';
import type { Row } from '../row.ts';

const HANDLER = fileURLToPath(new URL('../handlers/thread-killer.ts', import.meta.url));
const SHARDS = 2;
const MERCHANTS = 20;
const BAD = 'm-7';
const MAX_CRASHES = 2;
const CONCURRENCY = 40;
const BACK_WITHIN_MS = 2_000;

/** One order ends its thread whenever it runs; all others, of its own shard too, are delivered. */
function threadLost(name: string, act: string, fault: string, args: readonly string[] = []): Row {
  return {
    name,
    fault,
    async play(stage) {
      const orders = stage.full ? 5_000 : 600;
      await stage.merchants({ default: { latency: { distribution: 'uniform', min: '20ms', max: '200ms' } } });
      const lines: string[] = [];
      for (let n = 0; n < orders; n++) {
        lines.push(JSON.stringify({ id: `o-${n}`, merchant_id: `m-${1 + (n % MERCHANTS)}` }));
      }
      lines.splice(orders / 4, 0, JSON.stringify({ id: 'bad', merchant_id: BAD, act }));
      const file = join(stage.dir, 'orders.ndjson');
      await writeFile(file, `${lines.join('\n')}\n`);
      await stage.publish({ file });
      const limits = ['-c', String(CONCURRENCY), '--max-crashes', String(MAX_CRASHES), '--backoff', '100ms'];
      const worker = await stage.work('--handler', HANDLER, ...limits, ...args);
      await stage.ended(worker);
      const shard = shardOf(BAD, SHARDS);
      const recoveredMs = lossesOf(worker, shard);
      if (recoveredMs.length !== MAX_CRASHES) {
        throw new Error(`expected ${MAX_CRASHES} losses of shard ${shard}, got ${recoveredMs.length}`);
      }
      const late = recoveredMs.filter((ms) => ms > BACK_WITHIN_MS);
      if (late.length > 0)
        throw new Error(`expected the shard back within ${BACK_WITHIN_MS} ms, took ${late.join(', ')}`);
      const dropped = worker.log.matching(/connection lost/);
      if (dropped.length > 0) throw new Error(`expected the broker's connections to live on, got ${dropped[0]?.msg}`);
      // What a lost thread had sent, and had not told the answer of, is ambiguous, and is sent once more.
      return { bound: MAX_CRASHES * CONCURRENCY, boundPerMessage: MAX_CRASHES, recoveredMs, deadLettered: 1 };
    },
  };
}

/** For each time that a shard was lost, how long it took until it was ready again; throws when another one was lost. */
function lossesOf(worker: Command, shard: number): number[] {
  const recoveredMs: number[] = [];
  let lostAt: number | undefined;
  for (const line of worker.log.all) {
    const at = line['time'] as number;
    if (line.msg.startsWith('a thread was lost')) {
      if (line['shard'] !== shard) throw new Error(`expected shard ${shard} alone to be lost: ${JSON.stringify(line)}`);
      lostAt = at;
    }
    const shards = line['shards'] as readonly { readonly state: string }[] | undefined;
    if (shards?.[shard]?.state !== 'ready' || lostAt === undefined) continue;
    recoveredMs.push(at - lostAt);
    lostAt = undefined;
  }
  return recoveredMs;
}

export const threadRows: readonly Row[] = [
  threadLost('thread-error', 'throws unheard', 'thread: uncaught error'),
  threadLost('thread-rejection', 'rejects unheard', 'thread: unhandled rejection'),
  threadLost('thread-exit', 'exits', 'thread: process.exit'),
  threadLost('thread-memory', 'takes all memory', 'thread: out of memory'),
  threadLost('thread-loop', 'loops', 'thread: while (true)', ['--thread-timeout', '1s']),
];
