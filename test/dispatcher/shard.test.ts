import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { type Entry, entryOf, keyOf } from '../../src/dispatcher/ledger.ts';
import { Shard } from '../../src/dispatcher/shard.ts';
import { Lane } from '../../src/lane/lane.ts';
import { delivery, merchant } from '../helpers/deliveries.ts';

const ORDERS = 10_000;

test('thousands of orders in one turn reach their thread in the order of handing out, each with its merchant known', async () => {
  const ended: string[] = [];
  const all = Promise.withResolvers<undefined>();
  const shard = new Shard(
    {
      index: 0,
      slots: ORDERS,
      threadTimeoutMs: 600_000,
      boot: {
        handlerUrl: new URL('handlers/returns.ts', import.meta.url).href,
        connectTimeoutMs: 3_000,
        allowHosts: [],
        logLevel: 'silent',
        logFields: [],
      },
    },
    {
      outcome: ({ delivery: { identity } }, { kind }) => {
        ended.push(kind === 'delivered' ? identity : `${identity} ${kind}`);
        if (ended.length === ORDERS) all.resolve(undefined);
      },
      lost: (_shard, { why }) => all.reject(new Error(why)),
      failed: (error) => all.reject(error),
      turn: () => undefined,
      ready: () => undefined,
      log: () => undefined,
      warn: () => undefined,
    },
  );
  await shard.start();
  const deadlineAt = systemClock.now() + 600_000;
  try {
    for (let n = 0; n < ORDERS; n++) {
      const lane = new Lane<Entry>(merchant({ id: `m-${n}` }), 0);
      const of = delivery({ identity: `i-${n}`, merchantId: lane.merchantId, deadlineAt });
      shard.hand(entryOf(of, lane, keyOf(of), false, 0));
    }
    await all.promise;
    assert.deepEqual(
      ended,
      Array.from({ length: ORDERS }, (_, n) => `i-${n}`),
    );
  } finally {
    await shard.stop();
  }
});
