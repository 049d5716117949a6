import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withBroker } from '../helpers/broker.ts';
import { type Command, startCommand } from '../helpers/command.ts';
import { Waiting } from '../helpers/waiting.ts';

const broker = await withBroker();
const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** A demo whose files, and whose processes' files, are all in a folder of its own. */
function demo(t: TestContext, args: readonly string[]): { command: Command; folder: string } {
  const folder = mkdtempSync(join(scratch, 'demo-'));
  return { command: startCommand(t, ['demo', ...args], { TMPDIR: folder }), folder };
}

/** Live processes that were started, however indirectly, with this folder for their files. A zombie's environment is empty. */
function processesIn(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const ours = readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${folder}`);
        return ours
          ? [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 200)}`]
          : [];
      } catch {
        return []; // it ended meanwhile, or is not ours to read
      }
    });
}

/** Nobody tells when other people's processes end. */
async function gone(folder: string): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  for (;;) {
    const left = [...processesIn(folder), ...readdirSync(folder)];
    if (left.length === 0) return;
    assert.ok(performance.now() < giveUpAt, `left behind: ${left.join('\n')}`);
    await sleep(50);
  }
}

/** Waits for something in what the demo says on standard error. */
function said(command: Command, what: RegExp): Promise<true> {
  const waiting = new Waiting(() => command.stderr());
  const timer = setInterval(() => waiting.changed(), 20);
  return waiting
    .until(String(what), () => what.test(command.stderr()) || undefined)
    .finally(() => clearInterval(timer));
}

describe('the demo', { concurrency: 2 }, () => {
  test('ends by itself, loses nothing, sums up in JSON on the last line, and leaves nothing behind', async (t) => {
    const { command, folder } = demo(t, ['--duration', '3s', '--json']);
    assert.equal(await command.ended, 0);
    assert.deepEqual([...processesIn(folder), ...readdirSync(folder)], []);
    const last = command.log.all.at(-1) as unknown as Record<string, number>;
    const { published, delivered, deadLettered, parked, stillQueued, healthyPublished, healthyDelivered } = last;
    assert.deepEqual([last['lost'], last['duplicateSends']], [0, 0]);
    assert.equal(published, 900);
    const ends = [delivered, deadLettered, parked, stillQueued] as number[];
    assert.equal(
      ends.reduce((sum, count) => sum + count),
      published,
    );
    assert.equal(healthyDelivered, healthyPublished);
    assert.ok((healthyDelivered as number) > 600);
    const { p50Ms, p99Ms, retried, elapsedMs } = last as {
      p50Ms: number;
      p99Ms: number;
      retried: number;
      elapsedMs: number;
    };
    assert.ok(p50Ms > 0 && p99Ms >= p50Ms && retried > 0 && elapsedMs >= 2900, JSON.stringify(last));
  });

  test('ends early on Ctrl-C, with the summary of what was, and leaves nothing', async (t) => {
    const { command, folder } = demo(t, ['--duration', '10m', '--broker', broker.url]);
    await said(command, /delivered [1-9]/);
    command.signal('SIGINT');
    assert.equal(await command.ended, 0);
    const text = command.log.all.map(({ msg }) => msg).join('\n');
    assert.match(text, /published +[\d,]+ .*\n.*delivered +[1-9][\d,]* /);
    assert.match(text, /lost +0 .*\n.*duplicate sends +0 /);
    assert.deepEqual([...processesIn(folder), ...readdirSync(folder)], []);
    assert.doesNotMatch(await broker.ctl('list_queues', 'name'), /orderlane-demo/);
  });

  test('ends at once on a second Ctrl-C, with exit code 1, and leaves nothing', async (t) => {
    const { command, folder } = demo(t, ['--duration', '10m', '--broker', broker.url]);
    await said(command, /delivered [1-9]/);
    command.signal('SIGINT');
    await said(command, /finishing what is under way/);
    command.signal('SIGINT');
    assert.equal(await command.ended, 1);
    await gone(folder);
  });

  test('exits with 3 when the broker that was given cannot be reached', async (t) => {
    const { command, folder } = demo(t, ['--broker', 'amqp://127.0.0.1:1', '--connect-wait', '300ms']);
    assert.equal(await command.ended, 3);
    assert.match(command.stderr(), /no broker at amqp:\/\/127\.0\.0\.1:1/);
    assert.deepEqual([...processesIn(folder), ...readdirSync(folder)], []);
  });

  test('ends on Ctrl-C while it starts its broker, and leaves nothing', async (t) => {
    const { command, folder } = demo(t, []);
    await said(command, /starting a private RabbitMQ/);
    command.signal('SIGINT');
    assert.equal(await command.ended, 0);
    assert.deepEqual([...processesIn(folder), ...readdirSync(folder)], []);
  });

  test('takes all of its processes with it when it is killed', async (t) => {
    const { command, folder } = demo(t, ['--duration', '10m']);
    await said(command, /delivered [1-9]/);
    assert.ok(processesIn(folder).length >= 7, 'demo, merchants, work, publish, keeper, epmd and broker');
    command.signal('SIGKILL');
    assert.equal(await command.ended, 'SIGKILL');
    // Its own folder stays: there is nobody left to remove it.
    for (const name of readdirSync(folder).filter((each) => each.startsWith('orderlane-demo-'))) {
      rmSync(join(folder, name), { recursive: true });
    }
    await gone(folder);
  });
});
