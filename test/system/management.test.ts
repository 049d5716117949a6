import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connect } from 'amqplib';
import { startBroker } from '../../src/sim/broker.ts';
import { orderlane } from '../cli/command-line.ts';
import { theBroker } from '../helpers/broker.ts';
import { startWorker } from '../helpers/worker.ts';

const broker = await startBroker({ management: true, ...theBroker });
after(() => broker.stop());
const managementUrl = broker.managementUrl as string;
const url = 'http://127.0.0.1/{merchantId}';

async function work(queue: string, ...args: readonly string[]): Promise<{ code: number | null; err: string }> {
  const flags = [
    '--url',
    url,
    '--allow-host',
    '127.0.0.1',
    '-b',
    broker.url,
    '-Q',
    queue,
    '--management-url',
    managementUrl,
  ];
  return await orderlane(['work', '--log-format', 'json', ...flags, ...args]);
}

test('a policy that would lose orders is refused by name, with what it does', async () => {
  await broker.ctl('set_policy', 'tidy', '^kept', '{"message-ttl":60000,"max-length":10}', '--apply-to', 'queues');
  await broker.ctl(
    'set_policy',
    'drop',
    '^kept[.]dead$',
    '{"expires":60000}',
    '--priority',
    '2',
    '--apply-to',
    'queues',
  );
  const { code, err } = await work('kept');
  assert.equal(code, 1);
  assert.match(err, /orders would be lost on this broker/);
  assert.match(
    err,
    /policy 'tidy' sets message-ttl to 60000 on queue 'kept' and 11 more, which removes messages that wait longer/,
  );
  assert.match(
    err,
    /policy 'tidy' sets max-length to 10 on queue 'kept' and 1 more, which/,
    'a rung refuses what is too much',
  );
  assert.match(err, /policy 'drop' sets expires to 60000 on queue 'kept\.dead', which deletes the queue/);
});

test('where others made the queues it is said and not refused, and a missing binding too', async (t) => {
  await broker.ctl('set_policy', 'limit', '^theirs$', '{"delivery-limit":20}', '--apply-to', 'queues');
  const first = await startWorker(t, { broker: [broker.url], queue: 'theirs', url });
  first.stop();
  await first.done;
  const connection = await connect(broker.url);
  t.after(() => connection.close());
  const channel = await connection.createChannel();
  await channel.unbindQueue('theirs', 'theirs.retry', 'theirs');
  const worker = await startWorker(t, {
    broker: [broker.url],
    queue: 'theirs',
    url,
    managementUrl,
    declare: 'passive',
  });
  await worker.log.until(/policy 'limit' sets delivery-limit to 20/);
  await worker.log.until(/exchange 'theirs\.retry' is not bound to queue 'theirs'/);
});

test('what cannot be looked at is said, and does not keep it from starting', async (t) => {
  const noApi = 'http://127.0.0.1:1';
  const worker = await startWorker(t, { broker: [broker.url], queue: 'blind', url, managementUrl: noApi });
  await worker.log.until(/could not be checked at http:\/\/127\.0\.0\.1:1\/: policies.*: bad port$/);
  const secret = managementUrl.replace('//', '//guest:wrong-secret@');
  const refused = await startWorker(t, { broker: [broker.url], queue: 'blind', url, managementUrl: secret });
  const { msg } = await refused.log.until(/could not be checked at .*401/);
  assert.doesNotMatch(msg, /wrong-secret/);
});

test('without the management API it says what it has not checked', async (t) => {
  const worker = await startWorker(t, { broker: [broker.url], queue: 'unseen', url });
  await worker.log.until(/not checked, because AMQP does not show them: policies .*--management-url/);
});
