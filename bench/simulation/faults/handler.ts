import { DeliveryError, type Handler } from '../../../src/handler.ts';
import type { Merchant, Order } from '../../../src/order.ts';
import type { ThreadOutcome } from '../../../src/protocol.ts';
import type { Answer } from './merchants.ts';
import { stage } from './stage.ts';
import type { SimulatedThread } from './threads.ts';
import type { Actor } from './virtual-time.ts';

/** The message's number, from its body: by nothing that the product could have mixed up. */
export function numberOf(order: Order): number {
  return order.json<{ number: number }>().number;
}

/** A user's handler: makes one call, and names what it came to. */
export function handler(thread: SimulatedThread, process: Actor): Handler {
  const call = (order: Order, timeoutMs: number): Promise<Answer> =>
    stage().merchants.call({
      order,
      number: numberOf(order),
      thread: thread.actor,
      process,
      timeoutMs,
      connected: () => thread.reached('sending'),
    });
  return {
    async deliver(order, ctx) {
      const answer = await call(order, ctx.timeLeftMs());
      if (answer.kind === 'refused') throw new DeliveryError('not-sent', 'connection refused');
      if (answer.kind === 'reset') throw new DeliveryError('ambiguous', 'connection reset');
      const { status, retryAfterMs } = answer;
      const later = retryAfterMs === undefined ? {} : { retryAfterMs };
      if (status === 429 || status === 503) throw new DeliveryError('throttled', `HTTP ${status}`, later);
      if (status >= 500) throw new DeliveryError('ambiguous', `HTTP ${status}`, later);
      if (status >= 400) throw new DeliveryError('rejected', `HTTP ${status}`);
    },
    async confirm(order, ctx) {
      const there = await stage().merchants.confirm({
        order,
        number: numberOf(order),
        thread: thread.actor,
        process,
        timeoutMs: ctx.timeLeftMs(),
      });
      return there ? 'there' : 'not-there';
    },
  };
}

/** In place of `forward`: the call without got below it. */
export function forward(
  client: unknown,
  order: Order,
  _merchant: Merchant,
  timeoutMs: number,
  onSending: () => void,
): Promise<ThreadOutcome> {
  const { thread, process } = client as { readonly thread: SimulatedThread; readonly process: Actor };
  let isConnected = false;
  const connected = (): void => {
    isConnected = true;
    onSending();
    thread.reached('sending');
  };
  return new Promise((resolve) => {
    setTimeout(() => {
      const reason = 'no complete answer in time';
      resolve(isConnected ? { kind: 'ambiguous', reason } : { kind: 'not-sent', reason });
    }, timeoutMs);
    const call = { order, number: numberOf(order), thread: thread.actor, process, timeoutMs, connected };
    void stage()
      .merchants.call(call)
      .then((answer) => resolve(outcomeOf(answer)));
  });
}

function outcomeOf(answer: Answer): ThreadOutcome {
  if (answer.kind === 'refused') return { kind: 'not-sent', reason: 'connection refused' };
  if (answer.kind === 'reset') return { kind: 'ambiguous', reason: 'connection reset' };
  const { status, retryAfterMs } = answer;
  const later = retryAfterMs === undefined ? {} : { retryAfterMs };
  const reason = `HTTP ${status}`;
  if (status < 300) return { kind: 'delivered', status };
  if (status === 429 || status === 503) return { kind: 'throttled', reason, status, ...later };
  return status >= 500 ? { kind: 'ambiguous', reason, status, ...later } : { kind: 'rejected', reason, status };
}
