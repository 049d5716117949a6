import { isUtf8 } from 'node:buffer';
import { IncomingMessage } from 'node:http';
import { messageOf } from './errors.ts';
import { isJson } from './is-json.ts';
import { brief } from './outcome.ts';
import type { ThreadOutcome } from './protocol.ts';

/**
 * Longest answer that an outcome event carries, in bytes: enough for an order number or an error, not for an echo of the
 * order. Events wait in memory for their confirms.
 */
export const MAX_ANSWER_BYTES = 4096;

/** What of an HTTP response is looked at; got's shape. */
export interface Answered {
  readonly headers: Readonly<Record<string, unknown>>;
  /** Absent when the body was not read to its end. */
  readonly rawBody?: Uint8Array;
}

/**
 * What a merchant has answered, as members of an event's data: JSON text without the braces around it, so that nobody parses
 * it again. JSON stays JSON; anything else is text, and cut where it is too long. Undefined for no body.
 */
export function answerOf({ headers, rawBody }: Answered): string | undefined {
  if (rawBody === undefined || rawBody.length === 0) return undefined;
  const encoding = headers['content-encoding'];
  // got takes the header away from what it has unpacked.
  if (typeof encoding === 'string' && encoding !== 'identity') return omitted(`its content encoding is ${encoding}`);
  const body = Buffer.from(rawBody.buffer, rawBody.byteOffset, rawBody.byteLength);
  const isCut = body.length > MAX_ANSWER_BYTES;
  const head = isCut ? body.subarray(0, wholeCharacters(body)) : body;
  if (!isUtf8(head)) return omitted('it is not UTF-8 text');
  const text = head.toString('utf8');
  if (isCut) return `"answer":${JSON.stringify(text)},"answerCut":true`;
  return `"answer":${isJson(text) ? text : JSON.stringify(text)}`;
}

/** The same of what a handler has returned: a response of got's is the merchant's answer, everything else becomes JSON. */
export function returnedOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (value instanceof IncomingMessage) return answerOf(value as IncomingMessage & Answered);
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    const [why = ''] = messageOf(error).split('\n');
    return omitted(`what deliver() returned is not JSON: ${why}`);
  }
  if (text === undefined) return omitted(`what deliver() returned is not JSON: a ${typeof value}`);
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_ANSWER_BYTES) return `"answer":${text}`;
  return omitted(`what deliver() returned is ${bytes} bytes of JSON, more than ${MAX_ANSWER_BYTES}`);
}

/** The outcome with what came back, if anything did. */
export function withAnswer(outcome: ThreadOutcome, answer: string | undefined): ThreadOutcome {
  return answer === undefined ? outcome : ({ ...outcome, answer } as ThreadOutcome);
}

function omitted(why: string): string {
  return `"answerOmitted":${JSON.stringify(brief(why, 200))}`;
}

/** Where a cut at the limit falls between two characters of UTF-8. */
function wholeCharacters(body: Buffer): number {
  let end = MAX_ANSWER_BYTES;
  while (end > MAX_ANSWER_BYTES - 4 && ((body[end] as number) & 0xc0) === 0x80) end--;
  return end;
}
