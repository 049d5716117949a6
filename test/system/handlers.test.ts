import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Options } from '../../src/options.ts';
import { check, type PublishedMessage } from '../../src/sim/checker.ts';
import { startMerchants } from '../../src/sim/merchants.ts';
import { parseScenario } from '../../src/sim/scenario.ts';
import { withBroker } from '../helpers/broker.ts';
import { backlog, Collected, type Message, put } from '../helpers/queues.ts';
import { Target } from '../helpers/target.ts';
import { startWorker } from '../helpers/worker.ts';

const broker = await withBroker();
const handler = fileURLToPath(new URL('handlers/misbehaving.ts', import.meta.url));

const MERCHANTS = 20;
const GOOD_ORDERS = 15;
const BAD_ORDERS = 2;

/** One merchant in ten is bad, on different shards. */
function isBad(merchant: string): boolean {
  return /^m-(?:3|14)$/.test(merchant);
}

/** The good merchants' orders, and among them a few bad ones. */
function orders(act: string): (Message & { key: string; merchant: string })[] {
  const messages: (Message & { key: string; merchant: string })[] = [];
  for (let n = 0; n < GOOD_ORDERS; n++) {
    for (let m = 0; m < MERCHANTS; m++) {
      const merchant = `m-${m}`;
      if (isBad(merchant) && n >= BAD_ORDERS) continue;
      const key = `${merchant}-${n}`;
      const body = { id: key, merchant_id: merchant, ...(isBad(merchant) ? { act } : {}) };
      messages.push({ key, merchant, messageId: key, body });
    }
  }
  return messages;
}

interface Misdeed {
  readonly act: string;
  readonly options?: Partial<Options>;
  /** Why a bad order may end in the dead queue. */
  readonly reason: RegExp;
  readonly detail: RegExp;
}

const MISDEEDS: readonly Misdeed[] = [
  { act: 'throws', reason: /^handler-error$/, detail: /^after 2 attempts: out of paper$/ },
  { act: 'exits', reason: /^thread-crash$/, detail: /^2 threads were lost to it: / },
  {
    act: 'never ends',
    options: { timeoutMs: 1000 },
    reason: /^max-attempts$/,
    detail: /^after 2 attempts: the handler did not end within 1000 ms$/,
  },
  {
    act: 'loops',
    options: { threadTimeoutMs: 1000 },
    reason: /^thread-crash$/,
    detail: /^2 threads were lost to it: its event loop stood still for 1000 ms$/,
  },
  { act: 'rejects unheard', reason: /^thread-crash$/, detail: /^2 threads were lost to it: nobody listens$/ },
];

describe('when the handler misbehaves for one merchant in ten, all others get their orders:', {
  concurrency: 3,
}, () => {
  for (const { act, options, reason, detail } of MISDEEDS) {
    test(`it ${act}`, async (t) => {
      const queue = broker.queueName();
      const latency = { distribution: 'uniform', min: '10ms', max: '200ms' };
      const merchants = await startMerchants({ scenario: parseScenario({ default: { latency } }) });
      t.after(() => merchants.stop());
      const worker = await startWorker(t, {
        broker: [broker.url],
        queue,
        handler,
        url: merchants.urlTemplate,
        backoffMs: 100,
        maxCrashes: 2,
        deadlineMs: 60_000,
        ...(/thread/.test(reason.source) ? {} : { maxAttempts: 2 }),
        ...options,
      });
      const dead = await Collected.from(broker, `${queue}.dead`);
      const messages = orders(act);
      const bad = messages.filter(({ merchant }) => isBad(merchant));
      await put(broker, queue, ...messages.map(({ key: _key, merchant: _merchant, ...message }) => message));
      const letters = await dead.count(bad.length);
      for (const { properties } of letters) {
        assert.match(String(properties.headers?.['orderlane_reason']), reason);
        assert.match(String(properties.headers?.['orderlane_detail']), detail);
      }
      const good = messages.length - bad.length;
      await merchants.until(
        () =>
          [...merchants.receipts].filter(({ merchant, accepted }) => !isBad(merchant) && accepted > 0).length === good,
      );
      worker.drain();
      const { unfinished, error } = await worker.done;
      assert.deepEqual([unfinished, error], [0, undefined]);
      const published: PublishedMessage[] = messages.map(({ key, merchant }) => ({
        key,
        merchant,
        order: key,
        intendedAt: 0,
        confirmedAt: 1,
      }));
      const receipts = [...merchants.receipts].filter(({ merchant }) => !isBad(merchant));
      const verdict = check({
        published,
        receipts,
        dead: letters.map(({ properties }) => String(properties.messageId)),
      });
      const { delivered, deadLettered, lost, doubled, bodyChanged, misdirected } = verdict;
      assert.deepEqual(
        { delivered, deadLettered, lost, doubled, bodyChanged, misdirected },
        { delivered: good, deadLettered: bad.length, lost: 0, doubled: 0, bodyChanged: 0, misdirected: 0 },
      );
      assert.deepEqual(await backlog(broker, queue), {});
    });
  }
});

test('a handler names the outcome by what it throws', async (t) => {
  const queue = broker.queueName();
  const limits = { backoffMs: 100, maxAttempts: 2 };
  await startWorker(t, { broker: [broker.url], queue, handler, ...limits });
  const dead = await Collected.from(broker, `${queue}.dead`);
  const acts = ['rejected', 'not-sent', 'ambiguous', 'throttled', 'throws'];
  const body = { id: 'o', merchant_id: 'm' };
  await put(broker, queue, ...acts.map((act) => ({ messageId: act, body: { ...body, act } })));
  const found = [];
  for (const act of acts) {
    const { headers = {} } = (await dead.message(act)).properties;
    found.push([act, headers['orderlane_reason'], headers['orderlane_detail'], headers['orderlane_attempt']]);
  }
  assert.deepEqual(found, [
    ['rejected', 'rejected', 'as the order says', 1],
    ['not-sent', 'max-attempts', 'after 2 attempts: as the order says', 2],
    ['ambiguous', 'max-attempts', 'after 2 attempts: as the order says', 2],
    ['throttled', 'max-attempts', 'after 2 attempts: as the order says', 2],
    ['throws', 'handler-error', 'after 2 attempts: out of paper', 2],
  ]);
});

test('a handler that forgets to wait for its call cannot lose an order', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t, (_call, nth) => ({ status: nth === 1 ? 500 : 200 }));
  const worker = await startWorker(t, {
    broker: [broker.url],
    queue,
    handler,
    url: target.urlTemplate,
    backoffMs: 100,
  });
  await put(broker, queue, { messageId: 'one', body: { id: 'o', merchant_id: 'm', act: 'forgets' } });
  await target.until('two calls', () => target.callsOf('one').length === 2);
  worker.drain();
  const { stats, unfinished } = await worker.done;
  assert.deepEqual([unfinished, stats.retried, stats.outcomes.ambiguous, stats.outcomes.delivered], [0, 1, 1, 1]);
  assert.deepEqual(await backlog(broker, queue), {});
});

test("a handler's log lines say whose they are, and show only the fields that were asked for", async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const fields = { url: target.urlTemplate, logFields: ['posVersion'] };
  const worker = await startWorker(t, { broker: [broker.url], queue, handler, ...fields });
  await put(broker, queue, { messageId: 'm-1', body: { id: 'o-1', merchant_id: 'pizza', act: 'logs' } });
  const { merchant, order, attempt, posVersion, card, status, shard } = await worker.log.until('from the handler');
  assert.deepEqual(
    { merchant, order, attempt, posVersion, card, status },
    { merchant: 'pizza', order: 'o-1', attempt: 1, posVersion: '4.2', card: '[redacted]', status: '[redacted]' },
  );
  assert.equal(typeof shard, 'number');
});
