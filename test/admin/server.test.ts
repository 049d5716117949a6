import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { type AdminParts, AdminServer } from '../../src/admin/server.ts';
import { OrderlaneError } from '../../src/errors.ts';
import type { LanePage, LaneQuery, Phase } from '../../src/readings.ts';
import { READINGS } from './readings.ts';

const BEARER = 'Bearer s3cret';

/** A process whose state a test sets, and that keeps what it was told to do. */
class Process implements AdminParts {
  state: Phase = 'running';
  connected = true;
  readonly done: string[] = [];
  readonly asked: LaneQuery[] = [];

  phase = (): Phase => this.state;
  isConnected = (): boolean => this.connected;
  readings = (): typeof READINGS => READINGS;
  drain = (): void => void this.done.push('drain');
  warn = (): void => undefined;

  lanes(query: LaneQuery): Promise<LanePage> {
    this.asked.push(query);
    return Promise.resolve({ total: 1, lanes: READINGS.stats.slowest });
  }

  pause(merchant: string): string | undefined {
    if (merchant === 'nobody') return undefined;
    this.done.push(`pause ${merchant}`);
    return 'paused';
  }

  resume(merchant: string): string | undefined {
    this.done.push(`resume ${merchant}`);
    return 'resumed';
  }
}

async function serve(
  t: TestContext,
  { authorization, host = '127.0.0.1' }: { authorization?: string; host?: string } = {},
): Promise<{ process: Process; get: (path: string, init?: RequestInit) => Promise<Response>; port: number }> {
  const process = new Process();
  const server = new AdminServer({ host, port: 0 }, authorization, process);
  const port = Number(new URL(await server.start()).port);
  t.after(() => server.stop());
  return { process, port, get: (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init) };
}

test('it is ready while it runs and is connected, and alive always', async (t) => {
  const { process, get } = await serve(t);
  const ready = async (): Promise<readonly [number, string]> => {
    assert.equal((await get('/livez')).status, 200);
    const response = await get('/readyz');
    return [response.status, await response.text()];
  };
  assert.deepEqual(await ready(), [200, 'ready\n']);
  process.connected = false;
  assert.deepEqual(await ready(), [503, 'disconnected\n']);
  process.connected = true;
  process.state = 'draining';
  assert.deepEqual(await ready(), [503, 'draining\n']);
  process.state = 'starting';
  assert.deepEqual(await ready(), [503, 'starting\n']);
  assert.equal((await get('/metrics')).status, 503);
});

test('/metrics has the content type that Prometheus expects', async (t) => {
  const { get } = await serve(t);
  const response = await get('/metrics');
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(await response.text(), /^# HELP orderlane_orders_received_total .+\n# TYPE/);
});

test('/lanes is paged, by merchant, and a bad page is refused with what was expected', async (t) => {
  const { process, get } = await serve(t);
  assert.deepEqual(await (await get('/lanes?offset=5&limit=10&merchant=m%2F1')).json(), {
    total: 1,
    lanes: READINGS.stats.slowest,
    offset: 5,
    limit: 10,
  });
  await get('/lanes?contains=piz&sort=out');
  assert.deepEqual(process.asked, [
    { merchant: 'm/1', sort: 'worst', offset: 5, limit: 10 },
    { contains: 'piz', sort: 'out', offset: 0, limit: 50 },
  ]);
  for (const query of ['offset=-1', 'offset=10001', 'limit=0', 'limit=1001', 'limit=x']) {
    const response = await get(`/lanes?${query}`);
    assert.equal(response.status, 400, query);
    assert.match(((await response.json()) as { error: string }).error, /expected a whole number/);
  }
  assert.match(await (await get('/lanes?sort=merchant')).text(), /expected one of worst, waiting, /);
  const asked = process.asked.length;
  assert.match(await (await get('/lanes?mercant=m-1')).text(), /mercant: expected one of merchant, contains, /);
  assert.equal(process.asked.length, asked);
});

test('actions need the token, also on loopback', async (t) => {
  const { process, get } = await serve(t, { authorization: BEARER });
  for (const path of ['/drain', '/merchants/m-1/pause', '/merchants/m-1/resume']) {
    for (const authorization of ['', 'Bearer wrong', 's3cret', `${BEARER}x`]) {
      const response = await get(path, { method: 'POST', headers: { authorization } });
      assert.equal(response.status, 401, `${path} with '${authorization}'`);
    }
  }
  assert.deepEqual(process.done, []);
  const act = (path: string): Promise<Response> => get(path, { method: 'POST', headers: { authorization: BEARER } });
  assert.deepEqual(await (await act('/merchants/m%2F1/pause')).json(), { merchant: 'm/1', state: 'paused' });
  assert.deepEqual(await (await act('/merchants/m-1/resume')).json(), { merchant: 'm-1', state: 'resumed' });
  assert.equal((await act('/merchants/nobody/pause')).status, 404);
  assert.equal((await act('/merchants/%FF/pause')).status, 404);
  assert.equal((await act('/nothing')).status, 404);
  assert.equal((await act('/drain')).status, 202);
  assert.deepEqual(process.done, ['pause m/1', 'resume m-1', 'drain']);
});

test('without a token nothing can be done', async (t) => {
  const { process, get } = await serve(t);
  const response = await get('/drain', { method: 'POST' });
  assert.equal(response.status, 403);
  assert.match(await response.text(), /--admin-token-file/);
  const read = await get('/drain');
  assert.deepEqual(
    [read.status, await read.json()],
    [405, { error: 'expected POST /drain' }],
    'reading it does nothing',
  );
  assert.equal((await get('/metrics', { method: 'DELETE', headers: { authorization: 'Bearer ' } })).status, 403);
  assert.deepEqual(process.done, []);
});

test('beyond loopback everything needs the token but the probes', async (t) => {
  const { get } = await serve(t, { authorization: BEARER, host: '0.0.0.0' });
  for (const path of ['/metrics', '/lanes', '/stats']) {
    assert.equal((await get(path)).status, 401, path);
    assert.equal((await get(path, { headers: { authorization: BEARER } })).status, 200, path);
  }
  for (const path of ['/livez', '/readyz']) assert.equal((await get(path)).status, 200, path);
});

test('a name that a page in a browser has had resolved to this machine gets nothing but the probes', async (t) => {
  const { port } = await serve(t);
  const status = async (at: number, path: string, host: string, headers = {}): Promise<number | undefined> => {
    const sent = request({ host: '127.0.0.1', port: at, path, headers: { host, ...headers } }).end();
    const [{ statusCode }] = (await once(
      sent.on('response', (answer) => answer.resume()),
      'response',
    )) as [IncomingMessage];
    return statusCode;
  };
  for (const path of ['/metrics', '/lanes', '/stats', '/']) {
    for (const host of [
      'attacker.example',
      `attacker.example:${port}`,
      '127.0.0.1.attacker.example',
      '192.168.0.1',
      'a b',
    ]) {
      assert.equal(await status(port, path, host), 403, `${path} for ${host}`);
    }
    for (const host of ['localhost', `localhost:${port}`, `127.0.0.1:${port}`, '127.1.2.3', `[::1]:${port}`]) {
      assert.equal(await status(port, path, host), 200, `${path} for ${host}`);
    }
  }
  assert.equal(await status(port, '/livez', 'attacker.example'), 200);
  const { port: guarded } = await serve(t, { authorization: BEARER });
  assert.equal(await status(guarded, '/metrics', 'attacker.example'), 401);
  assert.equal(await status(guarded, '/metrics', 'proxy.example', { authorization: BEARER }), 200);
});

test('a port in use is a usage error that names the address', async (t) => {
  const { port, process } = await serve(t);
  const second = new AdminServer({ host: '127.0.0.1', port }, undefined, process);
  await assert.rejects(second.start(), (error: unknown) => {
    assert.ok(error instanceof OrderlaneError && error.code === 'USAGE');
    assert.equal(
      error.message,
      `--admin 127.0.0.1:${port} cannot be listened on: the port is in use by another process`,
    );
    return true;
  });
  second.stop();
});
