import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '../errors.ts';
import type { Merchants } from './merchants.ts';
import { parseScenarioText } from './scenario.ts';

/** Below it, requests are for whoever runs the merchants. */
export const CONTROL = '/_orderlane/';

/** Answers a request below CONTROL. */
export async function control(
  merchants: Pick<Merchants, 'stats' | 'receipts' | 'clear' | 'setScenario'>,
  call: IncomingMessage,
  answer: ServerResponse<IncomingMessage>,
): Promise<void> {
  const { pathname, searchParams } = new URL(call.url ?? '', 'http://merchants');
  const body = await Readable.from(call).toArray();
  const top = searchParams.get('top') ?? '20';
  switch (`${call.method} ${pathname}`) {
    case 'GET /_orderlane/stats':
      if (!/^\d+$/.test(top)) return sendJson(answer, 400, { error: `expected a number as top, got ${top}` });
      return sendJson(answer, 200, merchants.stats(Number(top)));
    case 'GET /_orderlane/receipts':
      answer.writeHead(200, { 'content-type': 'application/x-ndjson' });
      return pipeline(Readable.from(merchants.receipts.chunks()), answer);
    case 'DELETE /_orderlane/receipts':
      merchants.clear();
      return sendJson(answer, 200, { cleared: true });
    case 'PUT /_orderlane/scenario':
      try {
        merchants.setScenario(parseScenarioText(Buffer.concat(body).toString()));
      } catch (error) {
        return sendJson(answer, 400, { error: messageOf(error) });
      }
      return sendJson(answer, 200, { set: true });
    default:
      return sendJson(answer, 404, {
        error: `expected GET stats, GET or DELETE receipts or PUT scenario under ${CONTROL}, got ${call.method} ${pathname}`,
      });
  }
}

export function sendJson(answer: ServerResponse<IncomingMessage>, status: number, value: unknown): void {
  answer.writeHead(status, { 'content-type': 'application/json' });
  answer.end(`${JSON.stringify(value)}\n`);
}
