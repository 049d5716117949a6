import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';

/**
 * Node's own `request`, ended by the last byte that its content-length announces. got ends it a turn of the event loop later,
 * and takes an answer that comes before that for one that cuts the upload short: it closes the connection. A merchant nearby
 * answers sooner than a busy thread comes to its next turn.
 */
export function endingRequest(
  url: URL,
  options: RequestOptions,
  answered?: (response: IncomingMessage) => void,
): ClientRequest {
  const request = (url.protocol === 'https:' ? https : http).request(url, options, answered);
  let left = Number(request.getHeader('content-length'));
  if (!(left > 0)) return request;
  const write = request.write.bind(request) as (chunk: string | Uint8Array, ...rest: unknown[]) => boolean;
  request.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    left -= Buffer.byteLength(chunk);
    if (left !== 0) return write(chunk, ...rest);
    const done = rest.at(-1);
    request.end(chunk, () => {
      if (typeof done === 'function') done();
      request.emit('upload-complete'); // got's time-outs `send` and `response` wait for it
    });
    return true;
  };
  return request;
}
