import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { messageOf, OrderlaneError } from '../errors.ts';
import { LANE_SORTS, type LanePage, type LaneQuery, type Phase, type ProcessReadings } from '../readings.ts';
import { type AdminAddress, isLoopback, isLoopbackAuthority } from '../admin-address.ts';
import { registryOf } from './metrics.ts';

/** What the process lets an operator see and do. */
export interface AdminParts {
  phase(): Phase;
  isConnected(): boolean;
  /** Not before it runs. */
  readings(): ProcessReadings;
  lanes(query: LaneQuery): Promise<LanePage>;
  /** Undefined when there is no such merchant. */
  pause(merchant: string): string | undefined;
  resume(merchant: string): string | undefined;
  drain(): void;
  warn(fields: object, message: string): void;
}

interface Answer {
  readonly status: number;
  readonly body: string | object;
  readonly type?: string;
}

const PAGE = 50;
const PAGE_MAX = 1000;
const LANE_PARAMETERS = ['merchant', 'contains', 'sort', 'offset', 'limit'];
const ACTION = /^\/(?:drain|merchants\/([^/]+)\/(pause|resume))$/;
/** What is before a page has to be sorted too. */
const OFFSET_MAX = 10_000;
/** Node looks for requests that take too long every 30 s, unless told otherwise. */
const LIMITS = { requestTimeout: 10_000, headersTimeout: 10_000, connectionsCheckingInterval: 2_000 };
const MAX_CONNECTIONS = 64;

/**
 * What an operator, Prometheus and Kubernetes ask. It shows counts, merchants and gates, and never an order. Whatever changes
 * something needs the token; beyond loopback everything does but the two probes, which tell nothing.
 */
export class AdminServer {
  readonly #address: AdminAddress;
  readonly #token: Buffer | undefined;
  readonly #parts: AdminParts;
  readonly #registry: ReturnType<typeof registryOf>;
  readonly #server: Server;

  /** `authorization` is the whole header that is asked for. */
  constructor(address: AdminAddress, authorization: string | undefined, parts: AdminParts) {
    this.#address = address;
    this.#token = authorization === undefined ? undefined : digest(authorization);
    this.#parts = parts;
    this.#registry = registryOf(() => parts.readings());
    this.#server = createServer(LIMITS, (request, response) => {
      this.#answer(request).then(
        (answer) => send(response, request.method === 'HEAD', answer),
        (error: unknown) => {
          parts.warn({ reason: messageOf(error) }, 'a request to the admin endpoint failed');
          send(response, false, problem(500, 'it failed; the log says why'));
        },
      );
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Resolves with the address it listens on. */
  async start(): Promise<string> {
    const { host, port } = this.#address;
    const shown = `--admin ${host.includes(':') ? `[${host}]` : host}:${port}`;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'the port is in use by another process' : messageOf(error);
        reject(new OrderlaneError('USAGE', `${shown} cannot be listened on: ${why}`, { cause: error }));
      });
      this.#server.listen(port, host, resolve);
    });
    this.#server.on('error', (error) =>
      this.#parts.warn({ reason: error.message }, 'the admin endpoint has a problem'),
    );
    const bound = this.#server.address();
    const actual = typeof bound === 'object' && bound !== null ? bound.port : port;
    return `http://${host.includes(':') ? `[${host}]` : host}:${actual}`;
  }

  /** Safe before start and twice. */
  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const url = URL.parse(request.url ?? '/', 'http://admin');
    if (url === null) return problem(400, 'the path cannot be read');
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && url.pathname === '/livez') return { status: 200, body: 'alive\n' };
    if (isRead && url.pathname === '/readyz') return this.#ready();
    const { host = 'localhost' } = request.headers; // of a client that is no browser, when it is absent
    const isForeign = !isLoopbackAuthority(host);
    if (!isRead || isForeign || !isLoopback(this.#address.host)) {
      const refusal = this.#refusal(request);
      if (refusal !== undefined) return isForeign && isRead && this.#token === undefined ? strange(host) : refusal;
    }
    if (isRead) return await this.#read(url);
    return request.method === 'POST' ? this.#act(url) : problem(405, 'expected GET, HEAD or POST');
  }

  #ready(): Answer {
    const phase = this.#parts.phase();
    if (phase !== 'running') return { status: 503, body: `${phase}\n` };
    return this.#parts.isConnected() ? { status: 200, body: 'ready\n' } : { status: 503, body: 'disconnected\n' };
  }

  async #read({ pathname, searchParams }: URL): Promise<Answer> {
    if (pathname === '/') return { status: 200, body: 'orderlane: /metrics /livez /readyz /lanes /stats\n' };
    if (ACTION.test(pathname)) return problem(405, `expected POST ${pathname}`);
    if (!['/metrics', '/stats', '/lanes'].includes(pathname)) return problem(404, `there is no ${pathname}`);
    if (this.#parts.phase() === 'starting') return problem(503, 'starting');
    if (pathname === '/metrics') {
      return { status: 200, type: this.#registry.contentType, body: await this.#registry.print() };
    }
    if (pathname === '/stats') return { status: 200, body: this.#parts.readings() };
    // One that is misspelt would show all lanes where one was meant.
    const unknown = [...searchParams.keys()].find((name) => !LANE_PARAMETERS.includes(name));
    if (unknown !== undefined) return problem(400, `${unknown}: expected one of ${LANE_PARAMETERS.join(', ')}`);
    const [offset, limit] = [wholeOf(searchParams, 'offset', 0), wholeOf(searchParams, 'limit', PAGE)];
    if (offset === undefined || offset > OFFSET_MAX) {
      return problem(400, `offset: expected a whole number from 0 to ${OFFSET_MAX}`);
    }
    if (limit === undefined || limit < 1 || limit > PAGE_MAX) {
      return problem(400, `limit: expected a whole number from 1 to ${PAGE_MAX}`);
    }
    const named = searchParams.get('sort') ?? 'worst';
    const sort = LANE_SORTS.find((each) => each === named);
    if (sort === undefined) return problem(400, `sort: expected one of ${LANE_SORTS.join(', ')}`);
    const [merchant, contains] = [searchParams.get('merchant'), searchParams.get('contains')];
    const which = { ...(merchant === null ? {} : { merchant }), ...(contains === null ? {} : { contains }) };
    const query: LaneQuery = { ...which, sort, offset, limit };
    return { status: 200, body: { ...(await this.#parts.lanes(query)), offset, limit } };
  }

  #act({ pathname }: URL): Answer {
    if (this.#parts.phase() === 'starting') return problem(503, 'starting');
    if (pathname === '/drain') {
      this.#parts.drain();
      return { status: 202, body: { drain: 'begun' } };
    }
    const [, encoded, action] = ACTION.exec(pathname) ?? [];
    const merchant = decoded(encoded);
    if (merchant === undefined) {
      return problem(404, 'expected POST /drain, /merchants/ID/pause or /merchants/ID/resume');
    }
    const state = action === 'pause' ? this.#parts.pause(merchant) : this.#parts.resume(merchant);
    return state === undefined
      ? problem(404, `there is no merchant ${merchant}`)
      : { status: 200, body: { merchant, state } };
  }

  #refusal(request: IncomingMessage): Answer | undefined {
    if (this.#token === undefined) {
      return problem(403, 'actions need a token: start with --admin-token-file or --admin-token-env');
    }
    const came = digest(request.headers.authorization ?? '');
    return timingSafeEqual(came, this.#token) ? undefined : problem(401, 'expected Authorization: Bearer TOKEN');
  }
}

/** Of one length, so that the comparison tells nothing of the token's. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function problem(status: number, error: string): Answer {
  return { status, body: { error } };
}

function strange(host: string): Answer {
  return problem(
    403,
    `the Host header says ${host.slice(0, 100)}: expected localhost or a loopback address, or a token`,
  );
}

function send(response: ServerResponse, headOnly: boolean, { status, body, type }: Answer): void {
  const text = typeof body === 'string' ? body : `${JSON.stringify(body)}\n`;
  const plain = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  response.writeHead(status, {
    'content-type': type ?? plain,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
  });
  response.end(headOnly ? undefined : text);
}

function wholeOf(params: URLSearchParams, name: string, fallback: number): number | undefined {
  const text = params.get(name);
  if (text === null) return fallback;
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function decoded(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return undefined; // no merchant has a name that is not UTF-8
  }
}
