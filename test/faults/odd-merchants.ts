import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { crc32, gzipSync } from 'node:zlib';
import { Receipts } from '../../src/sim/receipts.ts';
import type { Scope } from '../helpers/worker.ts';
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../merchant/loopback-cert.ts';

type Oddity = (response: ServerResponse, request: IncomingMessage) => void;

const MB = 2 ** 20;
/** One of many members of a gzip file: 16 KB that unpack to 16 MB. */
const BOMB = gzipSync(Buffer.alloc(16 * MB));
const BOMB_MEMBERS = 64;

/** What a merchant does with a first attempt, by its ID; every other attempt it accepts. */
const ODDITIES: Readonly<Record<string, Oddity>> = {
  silent: () => undefined,
  trickling: (response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write('.'), 1_000);
    response.on('close', () => clearInterval(timer));
  },
  resetting: (_response, request) => void request.socket.resetAndDestroy(),
  truncating: (response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('{"ok":', () => response.destroy());
  },
  busy: (response) => void response.writeHead(429, { 'retry-after': '1' }).end(),
  overloaded: (response) => void response.writeHead(503, { 'retry-after': '1' }).end(),
};

/** Accepts what comes on a new connection, and has lost those that it kept. */
const STALE = 'stale';

/** What a merchant does with every attempt. */
const ALWAYS: Readonly<Record<string, Oddity>> = {
  bombing: (response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' });
    for (let member = 0; member < BOMB_MEMBERS; member++) response.write(BOMB);
    response.end();
  },
  endless: (response) => {
    const chunk = Buffer.alloc(65_536, 'x');
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.writeHead(200).on('drain', more);
    more();
  },
  moved: (response) => void response.writeHead(307, { location: '/good/orders' }).end(),
};

/** Merchants' servers that answer as APIs do on their worst days: `{url}/{merchantId}/orders`. */
export class OddMerchants {
  readonly receipts: Receipts = new Receipts();
  readonly url: string;
  /** One that speaks TLS, with a certificate that nobody trusts. */
  readonly untrustedUrl: string;
  /** Calls on connections that were lost. */
  stale = 0;

  private constructor(url: string, untrustedUrl: string) {
    this.url = url;
    this.untrustedUrl = untrustedUrl;
  }

  static async start(scope: Scope): Promise<OddMerchants> {
    const plain = createServer();
    const secure = createTlsServer({ cert: LOOPBACK_CERT, key: LOOPBACK_KEY });
    for (const server of [plain, secure]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      scope.after(() => {
        server.close();
        server.closeAllConnections();
      });
    }
    const [port, securePort] = [plain, secure].map((server) => (server.address() as AddressInfo).port);
    const merchants = new OddMerchants(`http://127.0.0.1:${port}`, `https://127.0.0.1:${securePort}`);
    for (const server of [plain, secure]) {
      server.on('request', (request: IncomingMessage, response: ServerResponse) => merchants.#take(request, response));
    }
    return merchants;
  }

  /** Sockets that have carried a call. */
  readonly #used = new WeakSet<object>();

  #take(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => undefined); // the client has had enough
    buffer(request).then(
      (body) => {
        const { url = '', headers } = request;
        const merchant = url.split('/')[1] ?? '';
        const attempt = String(headers['orderlane-attempt']);
        const message = this.receipts.sent(
          String(headers['idempotency-key']),
          merchant,
          attempt,
          crc32(body),
          Date.now(),
        );
        const stale = merchant === STALE && this.#used.has(request.socket);
        this.#used.add(request.socket);
        const odd = stale ? ODDITIES['resetting'] : ODDITIES[merchant];
        const oddity = ALWAYS[merchant] ?? (attempt === '1' ? odd : undefined);
        if (stale) this.stale++;
        // A complete status of 2xx, whatever body follows it.
        const accepts = oddity === undefined || oddity === ALWAYS['bombing'] || oddity === ALWAYS['endless'];
        if (accepts) this.receipts.answered(message, 200, Date.now());
        if (oddity === undefined) response.writeHead(200).end();
        else oddity(response, request);
      },
      () => undefined, // the client gave up while it was sending
    );
  }
}
