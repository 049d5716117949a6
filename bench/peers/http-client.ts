import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import got from 'got';
import { Agent, request } from 'undici';

const TIMEOUT_MS = 15_000;
/** As many as any scenario has calls in flight: orderlane keeps them all for the next, too. */
const IDLE_SOCKETS = 6000;

/** Posts an order and throws unless the answer is 2xx: the least that somebody would write. */
export type Post = (url: string, body: string, key: string) => Promise<void>;

export function postWith(client: 'got' | 'undici'): Post {
  return client === 'got' ? gotPost() : undiciPost();
}

function gotPost(): Post {
  const settings = { keepAlive: true, scheduling: 'lifo', maxFreeSockets: IDLE_SOCKETS } as const;
  const extended = got.extend({
    agent: { http: new HttpAgent(settings), https: new HttpsAgent(settings) },
    retry: { limit: 0 },
    followRedirect: false,
    decompress: false,
    timeout: { request: TIMEOUT_MS },
  });
  return async (url, body, key) => {
    await extended.post(url, { body, headers: { 'content-type': 'application/json', 'idempotency-key': key } });
  };
}

function undiciPost(): Post {
  const dispatcher = new Agent({ headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
  return async (url, body, key) => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': key };
    const answer = await request(url, { method: 'POST', body, headers, dispatcher });
    await answer.body.dump();
    if (answer.statusCode < 200 || answer.statusCode > 299) throw new Error(`status ${answer.statusCode}`);
  };
}

/** The merchant's own URL, of a template with `{merchantId}` in it. */
export function urlOf(template: string, merchantId: string): string {
  return template.replace('{merchantId}', encodeURIComponent(merchantId));
}
