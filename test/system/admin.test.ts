import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withBroker } from '../helpers/broker.ts';
import { startCommand } from '../helpers/command.ts';
import { put } from '../helpers/queues.ts';
import { type Reply, Target } from '../helpers/target.ts';

const broker = await withBroker();

test('/readyz says no while it starts, is without a broker, or drains; a merchant that is down does not matter', async (t) => {
  const queue = broker.queueName();
  const gate = Promise.withResolvers<Reply>();
  const target = await Target.start(t, ({ merchant }) => (merchant === 'down' ? { status: 500 } : gate.promise));
  const worker = startCommand(
    t,
    ['work', '-b', broker.url, '-Q', queue, '--url', target.urlTemplate, '--allow-host', '127.0.0.1'].concat([
      '--admin',
      '127.0.0.1:0',
      '--admin-token-env',
      'TOKEN',
      '--log-format',
      'json',
    ]),
    { TOKEN: 's3cret' },
  );
  const listens = await worker.log.until('the admin endpoint listens');
  const base = String(listens['url']);
  const ready = async (): Promise<string> => await (await fetch(`${base}/readyz`)).text();
  assert.equal(await ready(), 'starting\n');
  await worker.log.until('ready');
  assert.equal(await ready(), 'ready\n');

  await put(broker, queue, { messageId: '1', body: { id: 'o-1', merchant_id: 'down', note: 'no olives' } });
  await target.until('the first attempt', () => target.callsOf('1').length > 0);
  assert.equal(await ready(), 'ready\n');

  const lost = worker.log.until('consuming connection lost; reconnecting');
  const back = worker.log.until('consuming connection is back');
  await broker.ctl('stop_app');
  await lost;
  assert.equal(await ready(), 'disconnected\n');
  await broker.ctl('start_app');
  await back;
  await worker.log.until('publishing connection is back');
  assert.equal(await ready(), 'ready\n');

  await put(broker, queue, { messageId: '2', body: { id: 'o-2', merchant_id: 'm-2', note: 'no olives' } });
  await target.until('the second order', () => target.callsOf('2').length === 1);
  const metrics = await (await fetch(`${base}/metrics`)).text();
  assert.match(metrics, /^orderlane_orders_in_flight 1$/m);
  assert.match(metrics, /^orderlane_broker_reconnects_total [1-9]\d*$/m);
  const everything =
    metrics + (await (await fetch(`${base}/lanes`)).text()) + (await (await fetch(`${base}/stats`)).text());
  assert.ok(!everything.includes('olives') && !everything.includes('o-2'), 'no order is shown');

  const drain = await fetch(`${base}/drain`, { method: 'POST', headers: { authorization: 'Bearer s3cret' } });
  assert.equal(drain.status, 202);
  assert.equal(await ready(), 'draining\n');
  gate.resolve({ status: 200 });
  assert.equal(await worker.ended, 0);
});

test('a merchant that is paused gets nothing until it is resumed', async (t) => {
  const queue = broker.queueName();
  const target = await Target.start(t);
  const worker = startCommand(
    t,
    ['work', '-b', broker.url, '-Q', queue, '--url', target.urlTemplate, '--allow-host', '127.0.0.1'].concat([
      '--admin',
      '127.0.0.1:0',
      '--admin-token-env',
      'TOKEN',
      '--log-format',
      'json',
    ]),
    { TOKEN: 's3cret' },
  );
  const base = String((await worker.log.until('the admin endpoint listens'))['url']);
  await worker.log.until('ready');
  const act = (action: string): Promise<Response> =>
    fetch(`${base}/merchants/m-1/${action}`, { method: 'POST', headers: { authorization: 'Bearer s3cret' } });
  assert.equal((await act('pause')).status, 200);
  // It has no lane yet, and is seen to be paused all the same.
  const { paused } = (await (await fetch(`${base}/stats`)).json()) as { paused: object };
  assert.deepEqual(paused, { count: 1, first: ['m-1'] });
  await put(broker, queue, { messageId: '1', body: { id: 'o-1', merchant_id: 'm-1' } });
  await put(broker, queue, { messageId: '2', body: { id: 'o-2', merchant_id: 'm-2' } });
  await target.until('the other order', () => target.callsOf('2').length === 1);
  const { lanes } = (await (await fetch(`${base}/lanes?merchant=m-1`)).json()) as { lanes: { gate?: string }[] };
  assert.deepEqual(
    lanes.map(({ gate }) => gate),
    ['pause'],
  );
  assert.equal(target.callsOf('1').length, 0);
  assert.equal((await act('resume')).status, 200);
  await target.until('its order', () => target.callsOf('1').length === 1);
});
