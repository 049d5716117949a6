import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type PlainResponse, type Request, RequestError } from 'got';
import { answerOf, MAX_ANSWER_BYTES, withAnswer } from '../answer.ts';
import { systemClock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import { headerKey, type Merchant, type Order } from '../order.ts';
import { brief } from '../outcome.ts';
import type { ThreadOutcome } from '../protocol.ts';
import { redact } from '../redact.ts';
import { Limited } from '../time-limits.ts';
import { outcomeOfAnswer, outcomeOfError, TimeIsOver } from './classify.ts';
import type { HttpClient } from './http-client.ts';

/**
 * The built-in forwarder: posts the order's body, byte for byte, to the merchant's URL. Never rejects. `onSending` is
 * called when the call has its connection: from then on the merchant may have got it.
 */
export function forward(
  client: HttpClient,
  order: Order,
  merchant: Merchant,
  timeoutMs: number,
  onSending: () => void,
): Promise<ThreadOutcome> {
  const { url } = merchant;
  if (url === undefined) {
    return Promise.resolve({ kind: 'failed', reason: 'the merchant has no url, and there is no handler' });
  }
  return new Promise((resolve) => {
    const call = new Call(client, timeoutMs, onSending, resolve);
    call.limitBy(client.limits);
    try {
      const headers = {
        ...merchant.headers,
        'idempotency-key': headerKey(order.identity),
        'orderlane-attempt': String(order.attempt),
      };
      // Not got's promise, which reads the answer by an async iterator and passes on each of its events.
      call.watch(client.forwarder.stream(url, { body: order.body, headers }));
    } catch (error) {
      call.failed(error);
    }
  });
}

/** One call, for as long as it may take. got has time-outs of its own: each is a timer, and an error that costs as much as a call. */
class Call extends Limited {
  readonly #client: HttpClient;
  readonly #timeoutMs: number;
  readonly #onSending: () => void;
  readonly #resolve: (outcome: ThreadOutcome) => void;
  #request: ClientRequest | undefined;
  #response: PlainResponse | undefined;
  #body: Uint8Array[] | undefined;
  #read = 0;
  #isOver = false;
  #isCut = false;
  #hasEnded = false;

  constructor(client: HttpClient, timeoutMs: number, onSending: () => void, resolve: (outcome: ThreadOutcome) => void) {
    super(systemClock.now() + timeoutMs);
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.#onSending = onSending;
    this.#resolve = resolve;
    if (client.answers) this.#body = [];
  }

  watch(stream: Request): void {
    stream.once('request', (request: ClientRequest) => this.#begun(request));
    stream.once('response', (response: PlainResponse) => {
      this.#response = response;
    });
    stream.on('data', (chunk: Uint8Array) => this.#took(chunk));
    stream.once('end', () => this.#answered());
    stream.on('error', (error: unknown) => this.failed(error));
  }

  #begun(request: ClientRequest): void {
    this.#request = request;
    request.once('upgrade', refuseUpgrade);
    request.once('socket', (socket) => onConnected(socket, this.#onSending));
    if (this.#isOver) this.#giveUp();
  }

  #took(chunk: Uint8Array): void {
    if (this.#read <= MAX_ANSWER_BYTES) this.#body?.push(chunk); // and one more, which tells that there is more
    this.#read += chunk.length;
    if (this.#read <= this.#client.maxResponseBytes) return;
    this.#isCut = true;
    this.#request?.destroy();
  }

  #answered(): void {
    const { statusCode, headers } = this.#response as PlainResponse;
    const outcome = outcomeOfAnswer(statusCode, headers);
    const body = this.#body;
    this.#end(body === undefined ? outcome : withAnswer(outcome, answerOf({ headers, rawBody: Buffer.concat(body) })));
    // Node has it back, unless the merchant answered before it had read all: it need never do so.
    if (this.#request?.destroyed === false) this.#request.destroy();
  }

  failed(error: unknown): void {
    if (!(error instanceof RequestError)) {
      const reason = brief(redact(messageOf(error)));
      this.#end(this.#request === undefined ? { kind: 'failed', reason } : { kind: 'ambiguous', reason });
      return;
    }
    const { response } = error;
    // The answer is there; that we did not want all of its body, or what came after it, changes nothing.
    if (response !== undefined && (this.#isCut || response.complete)) {
      this.#end(outcomeOfAnswer(response.statusCode, response.headers));
    } else this.#end(outcomeOfError(error));
  }

  #end(outcome: ThreadOutcome): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.endLimit();
    this.#resolve(outcome);
  }

  /** After the sockets had their turn: when the thread was busy for long, the answer is there and nobody has looked. */
  timeIsOver(): void {
    setImmediate(() => {
      this.#isOver = true;
      this.#giveUp();
    });
  }

  #giveUp(): void {
    const request = this.#request;
    if (this.#hasEnded || request === undefined) return;
    const error = new TimeIsOver(this.#timeoutMs);
    // One that is destroyed already, and of which got has not heard the end, tells nothing by itself any more.
    if (!request.destroyed) request.destroy(error);
    else tell(request, error);
  }
}

/** Unheard, it would end the thread. */
function tell(request: ClientRequest, error: Error): void {
  if (request.listenerCount('error') > 0) request.emit('error', error);
}

/** Node leaves the socket to whoever listens for it, and the request without an end. got only passes it on. */
function refuseUpgrade(this: ClientRequest, _answer: unknown, socket: Duplex): void {
  socket.destroy();
  tell(this, new Error('HTTP 101: the merchant wants another protocol'));
}

function onConnected(socket: Socket, then: () => void): void {
  if (!socket.connecting) then();
  else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', then);
}
