import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { AddressGuard } from '../../src/merchant/address-guard.ts';
import { Agents } from '../../src/merchant/agents.ts';
import { HttpClient } from '../../src/merchant/http-client.ts';
import { Resolver } from '../../src/merchant/resolver.ts';
import { httpStub, tcpStub, trustLoopback } from './stub.ts';

trustLoopback();

function clientOf(t: TestContext, allowHosts: readonly string[], connectTimeoutMs = 3000): HttpClient {
  const client = new HttpClient({ connectTimeoutMs, idleSockets: 2, allowHosts });
  t.after(() => client.close());
  return client;
}

test('hosts that are allowed no more are refused, and kept connections to them are closed', async (t) => {
  const stub = await httpStub(t, (response) => response.end('ok'));
  const client = clientOf(t, ['127.0.0.1']);
  await client.handlers.post(stub.origin);
  client.allow(['127.0.0.1']);
  await client.handlers.post(stub.origin);
  assert.equal(stub.connections(), 1, 'the same hosts change nothing');
  client.allow([]);
  await assert.rejects(client.handlers.post(stub.origin), { code: 'EADDRGUARD', message: /is plain HTTP/ });
  client.allow([`127.0.0.1:${stub.port}`]);
  await client.handlers.post(stub.origin);
  assert.equal(stub.connections(), 2);
});

test('a call in flight when its host is forbidden ends well, and its connection is not kept', async (t) => {
  const client = clientOf(t, ['127.0.0.1']);
  const stub = await httpStub(t, (response) => {
    client.allow(['localhost', '127.0.0.1']);
    response.end('ok');
  });
  assert.equal((await client.handlers.post(stub.origin)).statusCode, 200);
  await client.handlers.post(stub.origin);
  assert.equal(stub.connections(), 2);
});

test('one call in its connect phase does not use up another’s time: the time-out is per socket', async (t) => {
  const port = await tcpStub(t, () => {});
  const client = clientOf(t, ['localhost'], 50);
  const ends = await Promise.allSettled([1, 2, 3].map(() => client.handlers.post(`https://localhost:${port}/`)));
  for (const end of ends) {
    assert.equal(end.status, 'rejected');
    assert.equal((end.reason as { code: string }).code, 'ETIMEDOUT');
    assert.match((end.reason as Error).message, /no connection to localhost:\d+ within 50 ms/);
  }
});

test('a connected socket is not cut off by the connect time-out', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stub = await httpStub(
    t,
    (response) => {
      t.mock.timers.tick(60_000);
      response.end('late');
    },
    true,
  );
  const client = clientOf(t, ['localhost']);
  assert.equal((await client.handlers.post(stub.origin)).body, 'late');
});

test('a connection that was made while the thread was busy counts, although its time is over', async (t) => {
  const stub = await httpStub(t, (response) => response.end('ok'));
  const onSocket = (): void =>
    process.nextTick(() => {
      for (const until = performance.now() + 100; performance.now() < until; );
    });
  subscribe('net.client.socket', onSocket);
  t.after(() => unsubscribe('net.client.socket', onSocket));
  assert.equal((await clientOf(t, ['127.0.0.1'], 20).handlers.post(stub.origin)).body, 'ok');
});

test('as many connections as calls had are kept for the next, and no more than asked for', async (t) => {
  const waiting: http.ServerResponse[] = [];
  let most = 0;
  const stub = await httpStub(t, (response) => {
    waiting.push(response);
    if (waiting.length === most) for (const each of waiting.splice(0)) each.end('ok');
  });
  const client = new HttpClient({ connectTimeoutMs: 3000, allowHosts: ['127.0.0.1'], idleSockets: 2 });
  t.after(() => client.close());
  for (const [calls, opened] of [
    [2, 2],
    [3, 3],
    [3, 4],
  ] as const) {
    most = calls;
    await Promise.all(Array.from({ length: calls }, () => client.handlers.post(stub.origin)));
    assert.equal(stub.connections(), opened);
  }
});

test('idle connections to many hosts are capped together, and the one idle longest makes room', async (t) => {
  const stub = await httpStub(t, (response) => response.end());
  const agents = new Agents(3000, new Resolver(), new AddressGuard(['*.localhost']), 2);
  t.after(() => agents.close());
  const call = async (host: string): Promise<Socket> => {
    const request = http.get({ host, port: stub.port, agent: agents.http });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.resume();
    await once(response, 'close');
    return request.socket as Socket;
  };
  const a = await call('a.localhost');
  const b = await call('b.localhost');
  assert.equal(await call('a.localhost'), a, 'kept, and now younger than b');
  const gone = once(b, 'close');
  const c = await call('c.localhost');
  await gone;
  assert.equal(await call('a.localhost'), a);
  assert.equal(await call('c.localhost'), c);
  assert.equal(stub.connections(), 3);
});

test('of many that become idle at once, each makes room for itself', async (t) => {
  const hosts = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}.localhost`);
  const waiting: http.ServerResponse[] = [];
  const stub = await httpStub(t, (response) => {
    waiting.push(response);
    if (waiting.length === hosts.length) for (const each of waiting) each.end();
  });
  const agents = new Agents(3000, new Resolver(), new AddressGuard(['*.localhost']), 2);
  t.after(() => agents.close());
  const sockets = await Promise.all(
    hosts.map(async (host) => {
      const request = http.get({ host, port: stub.port, agent: agents.http });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      response.resume();
      await once(response, 'close');
      return request.socket as Socket;
    }),
  );
  await new Promise(setImmediate);
  assert.equal(sockets.filter(({ destroyed }) => !destroyed).length, 2);
});
