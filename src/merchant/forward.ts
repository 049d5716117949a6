import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { RequestError } from 'got';
import { answerOf, withAnswer } from '../answer.ts';
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
export async function forward(
  client: HttpClient,
  order: Order,
  merchant: Merchant,
  timeoutMs: number,
  onSending: () => void,
): Promise<ThreadOutcome> {
  if (merchant.url === undefined) return { kind: 'failed', reason: 'the merchant has no url, and there is no handler' };
  const { maxResponseBytes } = client;
  const call = new Call(timeoutMs);
  call.limitBy(client.limits);
  let cut = false;
  try {
    const response = await client
      .forwarder(merchant.url, {
        body: order.body,
        headers: {
          ...merchant.headers,
          'idempotency-key': headerKey(order.identity),
          'orderlane-attempt': String(order.attempt),
        },
      })
      .on('request', (request) => {
        call.begun(request);
        request.once('socket', (socket) => onConnected(socket, onSending));
      })
      .on('downloadProgress', ({ transferred }) => {
        if (transferred <= maxResponseBytes) return;
        cut = true;
        call.cut();
      });
    const outcome = outcomeOfAnswer(response.statusCode, response.headers);
    return client.answers ? withAnswer(outcome, answerOf(response)) : outcome;
  } catch (error) {
    if (!(error instanceof RequestError)) return { kind: 'failed', reason: brief(redact(messageOf(error))) };
    const { response } = error;
    // The answer is there; that we did not want all of its body, or what came after it, changes nothing.
    if (response !== undefined && (cut || response.complete)) {
      return outcomeOfAnswer(response.statusCode, response.headers);
    }
    return outcomeOfError(error);
  } finally {
    call.end();
  }
}

/** One call, for as long as it may take. got has time-outs of its own: each is a timer, and an error that costs as much as a call. */
class Call extends Limited {
  readonly #timeoutMs: number;
  #request: ClientRequest | undefined;
  #isOver = false;
  #hasEnded = false;

  constructor(timeoutMs: number) {
    super(systemClock.now() + timeoutMs);
    this.#timeoutMs = timeoutMs;
  }

  begun(request: ClientRequest): void {
    this.#request = request;
    request.once('upgrade', refuseUpgrade);
    if (this.#isOver) this.#giveUp();
  }

  /** After the sockets had their turn: when the thread was busy for long, the answer is there and nobody has looked. */
  timeIsOver(): void {
    setImmediate(() => {
      this.#isOver = true;
      this.#giveUp();
    });
  }

  cut(): void {
    this.#request?.destroy();
  }

  end(): void {
    this.#hasEnded = true;
    this.endLimit();
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
