import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import net, { type AddressInfo, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import { BREAKER, type Merchant, type Order } from '../../src/order.ts';
import { LOOPBACK_CERT, LOOPBACK_KEY } from './loopback-cert.ts';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface Stub {
  readonly port: number;
  /** `http://127.0.0.1:PORT` or `https://localhost:PORT`. */
  readonly origin: string;
  readonly seen: Seen[];
  /** Connections that were opened so far. */
  connections(): number;
}

type Answer = (response: ServerResponse, seen: Seen, request: IncomingMessage) => void;

/** A merchant's server on loopback, gone after the test. */
export async function httpStub(t: TestContext, answer: Answer, secure = false): Promise<Stub> {
  const seen: Seen[] = [];
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body: Buffer.concat(chunks).toString() };
      seen.push(one);
      answer(response, one, request);
    });
  };
  const server = secure
    ? https.createServer({ key: LOOPBACK_KEY, cert: LOOPBACK_CERT }, onRequest)
    : http.createServer(onRequest);
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  const port = await listen(server);
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const origin = secure ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  return { port, origin, seen, connections: () => connections };
}

/** A server that speaks TCP as `onConnection` does, gone after the test. */
export async function tcpStub(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  const port = await listen(server);
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return port;
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = net.createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  return port;
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** From here on this process trusts the loopback certificate. */
export function trustLoopback(): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), LOOPBACK_CERT]);
}

export function orderOf(fields: Partial<Order> = {}): Order {
  const body = fields.body ?? '{"id":"o-1","note":"crème brûlée 😀"}';
  return {
    id: 'o-1',
    merchantId: 'm-1',
    identity: 'o-1-abc',
    attempt: 1,
    publishedAt: 0,
    json: <T>() => JSON.parse(body) as T,
    ...fields,
    body,
  };
}

export function merchantOf(url: string | undefined, headers: Record<string, string> = {}): Merchant {
  return {
    id: 'm-1',
    ...(url === undefined ? {} : { url }),
    headers,
    timeoutMs: 15_000,
    concurrency: 50,
    weight: 1,
    duplicates: 'idempotent',
    keyWindowMs: 86_400_000,
    breaker: BREAKER,
    paused: false,
  };
}
