import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withBroker } from '../helpers/broker.ts';
import { startCommand } from '../helpers/command.ts';
import { type Message, put } from '../helpers/queues.ts';
import { Target } from '../helpers/target.ts';

// Not among the tests of `make test`, because Prometheus is a large package: `make check-deploy` runs it.
const OURS = fileURLToPath(new URL('../../.tools/deploy/prometheus/usr/bin/promtool', import.meta.url));
const promtool = existsSync(OURS) ? OURS : 'promtool';

test('what a process that delivers, retries and dead-letters says of itself is as Prometheus wants it', async (t) => {
  assert.ifError(spawnSync(promtool, ['--version']).error); // make check-deploy brings it
  const broker = await withBroker();
  const queue = broker.queueName();
  const target = await Target.start(t, ({ merchant }) => {
    if (merchant === 'silent') return 'silent';
    return merchant === 'down' ? { status: 503, headers: { 'retry-after': '120' } } : { status: 200 };
  });
  const flags = ['-b', broker.url, '-Q', queue, '--url', target.urlTemplate, '--allow-host', '127.0.0.1'];
  const log = ['--admin', '127.0.0.1:0', '--log-format', 'json', '--log-level', 'debug'];
  const worker = startCommand(t, ['work', ...flags, ...log]);
  const base = String((await worker.log.until('the admin endpoint listens'))['url']);
  await worker.log.until('ready');
  const order = (merchant: string): Message => ({ body: { id: `o-${merchant}`, merchant_id: merchant } });
  for (const merchant of ['well', 'down', 'silent', 'a "quoted" one\\']) {
    await put(broker, queue, { messageId: merchant, ...order(merchant) });
  }
  await put(broker, queue, { messageId: 'bad', body: 'no JSON' });
  for (const key of ['well', 'down', 'silent']) await target.until(key, () => target.callsOf(key).length > 0);
  await worker.log.until('dead-lettered');
  await worker.log.until('retry');
  const said = await (await fetch(`${base}/metrics`)).text();
  assert.match(said, /^orderlane_worst_lane_out\{merchant="down"\} 1$/m);
  assert.match(said, /^orderlane_dead_letters_total\{reason="malformed"\} 1$/m);
  const judged = spawnSync(promtool, ['check', 'metrics'], { input: said, encoding: 'utf8' });
  assert.deepEqual([judged.status, judged.stdout + judged.stderr], [0, '']);
});
