import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { OrderlaneError } from '../../src/errors.ts';
import { startBroker } from '../../src/sim/broker.ts';

/** Live processes with this variable in their environment. A zombie's is empty. */
function processesWith(variable: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${variable}\0`);
      } catch {
        return false; // it ended meanwhile, or is not ours to read
      }
    })
    .map(Number);
}

function processesOf(dir: string): number[] {
  return processesWith(`BROKER_DIR=${dir}`);
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error(`still waiting for ${what}`);
    await sleep(20);
  }
}

async function gone(dir: string): Promise<void> {
  await until(() => processesOf(dir).length === 0, `the end of processes ${processesOf(dir).join(' ')}`);
  await until(() => !existsSync(dir), `the removal of ${dir}`);
}

const scratch = mkdtempSync(join(tmpdir(), 'orderlane-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** A process that starts a broker in the scratch folder, tells its folder, and stays. */
function brokersParent(): ChildProcess {
  const module = new URL('../../src/sim/broker.ts', import.meta.url).href;
  const script = `import { startBroker } from ${JSON.stringify(module)}; console.log((await startBroker()).dir);`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, TMPDIR: scratch },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

test('a private broker takes messages, answers rabbitmqctl, and leaves no process and no folder', async () => {
  const broker = await startBroker();
  try {
    assert.match(broker.version, /^\d+\.\d+\.\d+/);
    const connection = await connect(broker.url);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('some', { arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue('some', Buffer.from('1'), { persistent: true });
    await channel.waitForConfirms();
    await connection.close();
    assert.equal(await broker.ctl('list_queues', 'name', 'type'), 'some\tquorum\n');
    assert.ok(processesOf(broker.dir).length >= 3, 'keeper, epmd and broker');
  } finally {
    await Promise.all([broker.stop(), broker.stop()]);
  }
  assert.deepEqual(processesOf(broker.dir), []);
  assert.equal(existsSync(broker.dir), false);
  await broker.stop();
  await assert.rejects(broker.ctl('list_queues'), /is stopped/);
});

test('a private broker that is started again has the same address and its messages', async () => {
  const broker = await startBroker();
  try {
    const before = await connect(broker.url);
    before.on('error', () => undefined); // the restart ends it
    const channel = await before.createConfirmChannel();
    channel.on('error', () => undefined);
    await channel.assertQueue('some', { arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue('some', Buffer.from('1'), { persistent: true });
    await channel.waitForConfirms();
    // Not by SIGKILL: RabbitMQ 3.10 may forget a quorum queue that it has made only just now.
    await broker.restart('SIGTERM');
    const after = await connect(broker.url);
    const found = await (await after.createChannel()).get('some', { noAck: true });
    await after.close();
    assert.equal(found === false ? 'nothing' : found.content.toString(), '1');
  } finally {
    await broker.stop();
  }
  assert.deepEqual(processesOf(broker.dir), []);
  assert.equal(existsSync(broker.dir), false);
});

test('a private broker that is frozen answers when it is thawed', async () => {
  const broker = await startBroker();
  try {
    broker.freeze();
    const connecting = connect(broker.url);
    const isFrozen = await Promise.race([connecting, sleep(200, 'frozen')]);
    assert.equal(isFrozen, 'frozen');
    broker.thaw();
    await (await connecting).close();
    broker.freeze(); // and stops all the same
  } finally {
    await broker.stop();
  }
  assert.deepEqual(processesOf(broker.dir), []);
});

test('a rabbitmqctl command that fails says what rabbitmqctl said', async () => {
  const broker = await startBroker();
  try {
    await assert.rejects(broker.ctl('delete_queue', 'absent'), (error: unknown) => {
      assert.ok(error instanceof OrderlaneError);
      assert.match(error.message, /^rabbitmqctl delete_queue absent failed: .*not found/is);
      return true;
    });
  } finally {
    await broker.stop();
  }
});

test('broker and folder go when the process that started them is killed', async () => {
  const parent = brokersParent();
  const [chunk] = (await once(parent.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const dir = chunk.toString().trim();
  assert.ok(processesOf(dir).length >= 3, 'keeper, epmd and broker');
  parent.kill('SIGKILL');
  await gone(dir);
});

test('broker and folder go when that process is killed while the broker starts', async () => {
  const parent = brokersParent();
  await until(() => readdirSync(scratch).length > 0, 'a folder');
  const dir = join(scratch, readdirSync(scratch)[0] as string);
  await until(() => processesOf(dir).length >= 3, 'keeper, epmd and broker');
  parent.kill('SIGKILL');
  await gone(dir);
});

test('the folder goes when the keeper itself is killed, as soon as the broker is stopped', async () => {
  const broker = await startBroker();
  const brokerPid = Number(readFileSync(join(broker.dir, 'broker.pid'), 'utf8'));
  const keeperPid = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${brokerPid}/status`, 'utf8'))?.[1]);
  process.kill(keeperPid, 'SIGKILL');
  await broker.stop();
  await gone(broker.dir);
});

for (const [index, use] of ['AMQP', 'Erlang distribution', 'epmd'].entries()) {
  test(`when its ${use} port is taken meanwhile, the broker starts on other ports`, async (t) => {
    const squatter = createServer().listen(0, '127.0.0.1');
    t.after(() => squatter.close());
    await once(squatter, 'listening');
    const taken = (squatter.address() as { port: number }).port;
    const chosen: number[][] = [];
    const choosePorts = async (count: number): Promise<number[]> => {
      const ports = await Promise.all(Array.from({ length: count }, freePort));
      if (chosen.length === 0) ports[index] = taken;
      chosen.push(ports);
      return ports;
    };
    const broker = await startBroker({ choosePorts });
    try {
      assert.equal(chosen.length, 2);
      assert.equal(broker.port, chosen[1]?.[0]);
      await (await connect(broker.url)).close();
    } finally {
      await broker.stop();
    }
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

test('a broker that cannot start is an error with its last words, and leaves nothing', async () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith('orderlane-broker-'));
  await assert.rejects(startBroker({ schedulers: 1_000_000 }), (error: unknown) => {
    assert.ok(error instanceof OrderlaneError);
    assert.equal(error.code, 'FATAL');
    assert.match(error.message, /did not start: it ended with exit code 1.*number of schedulers/s);
    return true;
  });
  const now = readdirSync(tmpdir()).filter((name) => name.startsWith('orderlane-broker-'));
  assert.deepEqual(
    now.filter((name) => !before.includes(name)),
    [],
  );
});

test('aborting while the broker starts rejects with the reason, and leaves nothing', async () => {
  const controller = new AbortController();
  let ports: number[] = [];
  const choosePorts = async (count: number): Promise<number[]> => {
    ports = await Promise.all(Array.from({ length: count }, freePort));
    return ports;
  };
  const starting = startBroker({ signal: controller.signal, choosePorts });
  await until(() => processesWith(`ERL_EPMD_PORT=${ports[2]}`).length >= 3, 'keeper, epmd and broker');
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(starting, reason);
  assert.deepEqual(processesWith(`ERL_EPMD_PORT=${ports[2]}`), []);
  await assert.rejects(startBroker({ signal: controller.signal }), reason);
});
