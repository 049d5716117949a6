import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { Receipts } from '../../src/sim/receipts.ts';
import { Waiting } from './waiting.ts';
import type { Scope } from './worker.ts';

/** A call that has come in whole. */
export interface Received {
  readonly merchant: string;
  readonly path: string;
  readonly key: string;
  readonly attempt: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** How a call is answered; `silent` is never. `nth` counts the calls with this idempotency key, from 1. */
export type Respond = (call: Received, nth: number) => Reply | 'silent' | 'reset' | Promise<Reply>;

/**
 * Merchants that a test answers for, call by call, and that keep every byte they got; `{url}/{merchantId}/...`. The
 * simulated merchants of src/sim are for everything that needs no script.
 */
export class Target {
  readonly received: Received[] = [];
  readonly receipts: Receipts = new Receipts();
  readonly #server = createServer();
  readonly #waiting = new Waiting(() => `Calls: ${this.received.map(({ path, key }) => `${path} ${key}`).join(', ')}`);
  /** Calls that are neither answered nor given up. */
  #open = 0;

  private constructor(respond: Respond) {
    this.#server.on('request', (request, response: ServerResponse) => {
      void buffer(request).then(
        async (body) => {
          const { url = '', headers } = request;
          const key = String(headers['idempotency-key'] ?? '');
          const merchant = decodeURIComponent(url.split('/')[1] ?? '');
          const attempt = Number(headers['orderlane-attempt']);
          const call = { merchant, path: url, key, attempt, headers, body, at: Date.now() };
          this.received.push(call);
          const message = this.receipts.sent(key, merchant, String(attempt), crc32(body), Date.now());
          this.#open++;
          response.once('close', () => {
            this.#open--;
            this.#waiting.changed();
          });
          this.#waiting.changed();
          const reply = await respond(call, this.callsOf(key).length);
          if (reply === 'silent') return;
          if (reply === 'reset') {
            request.socket.resetAndDestroy();
            return;
          }
          response.once('finish', () => this.receipts.answered(message, reply.status, Date.now()));
          response.writeHead(reply.status, reply.headers).end(reply.body);
        },
        () => undefined, // the client gave up while it was sending
      );
    });
  }

  static async start(scope: Scope, respond: Respond = () => ({ status: 200 })): Promise<Target> {
    const target = new Target(respond);
    target.#server.listen(0, '127.0.0.1');
    await once(target.#server, 'listening');
    scope.after(() => {
      target.#server.close();
      target.#server.closeAllConnections();
    });
    return target;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get urlTemplate(): string {
    return `${this.url}/{merchantId}/orders`;
  }

  /** Calls that are neither answered nor given up by now. */
  get open(): number {
    return this.#open;
  }

  callsOf(key: string): Received[] {
    return this.received.filter((call) => call.key === key);
  }

  until(what: string, ask: () => boolean): Promise<boolean> {
    return this.#waiting.until(what, ask);
  }
}
