import type { IncomingHttpHeaders } from 'node:http';
import { AbortError, HTTPError, type RequestError, TimeoutError } from 'got';
import { brief } from '../outcome.ts';
import type { ThreadOutcome } from '../protocol.ts';
import { redact } from '../redact.ts';

export const MAX_RETRY_AFTER_MS = 86_400_000;
const REASON = 200;
// RFC 9110's three date formats; Date.parse reads far more, such as "-5".
const HTTP_DATE =
  /^(?:[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT|[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4})$/;

/**
 * What a complete answer means for the order:
 *
 * | status | outcome |
 * |---|---|
 * | 2xx | `delivered` |
 * | 425 | `throttled`: the server says that it did not process it |
 * | 429, 503 | `throttled` |
 * | 409 | `throttled` when the answer has a Retry-After (the same key is being worked on), else `rejected` |
 * | 408, 5xx, anything unheard of | `ambiguous` |
 * | 501, 505, other 3xx and 4xx | `rejected`: the same request will never be taken |
 */
export function outcomeOfAnswer(status: number, headers: IncomingHttpHeaders): ThreadOutcome {
  if (status >= 200 && status < 300) return { kind: 'delivered', status };
  const reason = `HTTP ${status}`;
  const retryAfterMs = retryAfter(headers);
  const later = retryAfterMs === undefined ? {} : { retryAfterMs };
  switch (status) {
    case 425:
      return { kind: 'throttled', reason, status };
    case 429:
    case 503:
      return { kind: 'throttled', reason, status, ...later };
    case 409:
      if (headers['retry-after'] !== undefined) return { kind: 'throttled', reason, status, ...later };
      return { kind: 'rejected', reason, status };
    case 408:
      return { kind: 'ambiguous', reason, status, ...later };
    case 501:
    case 505:
      return { kind: 'rejected', reason, status };
    default:
      if (status >= 300 && status < 500) return { kind: 'rejected', reason, status };
      return { kind: 'ambiguous', reason, status, ...later };
  }
}

/** Why a call is aborted whose answer has no end. */
export class AnswerTooLarge extends Error {
  override readonly name = 'AnswerTooLarge';
}

/**
 * What a call of the forwarder's is told when its time is over. It has no stack: got takes those of errors apart and puts
 * them together anew, which is most of what a time-out costs, and hundreds are over at once when a merchant hangs.
 */
export class TimeIsOver extends Error {
  override readonly name = 'TimeIsOver';
  readonly afterMs: number;

  constructor(afterMs: number) {
    super('the time for this attempt is over');
    delete this.stack;
    this.afterMs = afterMs;
  }
}

/** What a call that got gave up means for the order: by its answer when that is complete, else by whether bytes left. */
export function outcomeOfError(error: RequestError): ThreadOutcome {
  const { response } = error;
  if (response !== undefined && (error instanceof HTTPError || response.complete)) {
    const answered = outcomeOfAnswer(response.statusCode, response.headers);
    if (answered.kind !== 'delivered') return answered;
    // Its message may quote the body.
    const reason = `HTTP ${response.statusCode}, but the answer could not be used (${error.code})`;
    return { kind: 'ambiguous', reason, status: response.statusCode };
  }
  const kind = fate(error);
  if (response === undefined) return { kind, reason: reasonOf(error, kind) };
  const reason = `HTTP ${response.statusCode}, then ${reasonOf(error, kind)}`;
  // Who never ends an answer has not answered, and is a merchant that hangs.
  return kind === 'ambiguous' && !isTimeOver(error) ? { kind, reason, status: response.statusCode } : { kind, reason };
}

/**
 * Whether bytes may have left, in the only order of questions that holds: `bytesWritten` and `timings.lookup` mislead, and
 * a reused socket carries its first call's timings and proves nothing.
 */
function fate(error: RequestError): 'failed' | 'not-sent' | 'ambiguous' {
  const { request, timings } = error;
  if (timings === undefined)
    return error instanceof AbortError || error instanceof TimeoutError ? 'not-sent' : 'failed';
  if (request?.reusedSocket === true) return 'ambiguous';
  const secure = String(request?.options.url).startsWith('https:');
  return (secure ? timings.secureConnect : timings.connect) === undefined ? 'not-sent' : 'ambiguous';
}

/** The attempt's time was over, or the attempt, and not the merchant or what it said. */
function isTimeOver(error: RequestError): boolean {
  if (error instanceof TimeoutError || error.cause instanceof TimeIsOver) return true;
  return error instanceof AbortError && !(error.cause instanceof AnswerTooLarge);
}

function reasonOf(error: RequestError, kind: 'failed' | 'not-sent' | 'ambiguous'): string {
  const missing = kind === 'ambiguous' ? 'no complete answer' : 'no connection';
  if (error.cause instanceof TimeIsOver) return `${missing} within ${Math.round(error.cause.afterMs)} ms`;
  if (error instanceof TimeoutError) {
    const { request: ms } = error.options.timeout;
    return ms === undefined ? `${missing} in time` : `${missing} within ${Math.round(ms)} ms`;
  }
  if (error instanceof AbortError) {
    return error.cause instanceof AnswerTooLarge ? error.cause.message : `${missing} before the attempt was aborted`;
  }
  // It goes into headers, events and what the admin endpoint shows; got puts the URL into some, query and all.
  return brief(redact(error.message === '' ? ofMany(error) : error.message), REASON);
}

/** Several addresses were tried, and node's AggregateError says nothing but that. */
function ofMany(error: RequestError): string {
  const [first] = error.cause instanceof AggregateError ? (error.cause.errors as readonly unknown[]) : [];
  return first instanceof Error ? first.message : error.code;
}

/** Milliseconds of a Retry-After, at most a day; undefined when there is none, or none that can be read. */
function retryAfter(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['retry-after'];
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(text)) return Math.min(Number(text) * 1000, MAX_RETRY_AFTER_MS);
  const at = httpDate(text);
  if (at === undefined) return undefined;
  // Against the server's own clock when it tells it: the two of us need not agree.
  const now = httpDate(headers.date ?? '') ?? Date.now();
  return Math.min(Math.max(at - now, 0), MAX_RETRY_AFTER_MS);
}

function httpDate(text: string): number | undefined {
  if (!HTTP_DATE.test(text)) return undefined;
  const at = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(at) ? undefined : at;
}
