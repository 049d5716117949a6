import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';

type Done = (error?: Error | null) => void;
/** As Node leaves it. */
type Answered = ClientRequest & { res?: IncomingMessage | null };

/**
 * Node's own `request`, whose connection outlives an answer that comes sooner than a busy thread comes to its next turn of the
 * event loop, as a nearby merchant's does. The request is ended by the last byte that its content-length announces: got ends
 * it a turn later, and takes an answer that comes before that for one that cuts the upload short. And when got destroys what is
 * answered, Node first hears that the request was written, which over TLS it is told a turn later, too.
 */
export function endingRequest(
  url: URL,
  options: RequestOptions,
  answered?: (response: IncomingMessage) => void,
): ClientRequest {
  const request: Answered = (url.protocol === 'https:' ? https : http).request(url, options, answered);
  const destroy = request.destroy.bind(request);
  request.destroy = (error?: Error): ClientRequest => {
    const isBeingWritten = request.writableEnded && !request.writableFinished;
    if (error !== undefined || !isBeingWritten || request.res?.complete !== true) return destroy(error);
    setImmediate(destroy); // by then it is Node's no more, or its end hangs and the connection is of no use
    return request;
  };
  let left = Number(request.getHeader('content-length'));
  if (!(left > 0)) return request;
  const write = request.write.bind(request) as (chunk: string | Uint8Array, ...rest: unknown[]) => boolean;
  const end = request.end.bind(request) as (chunk: string | Uint8Array, ...rest: unknown[]) => ClientRequest;
  request.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    left -= Buffer.byteLength(chunk, typeof rest[0] === 'string' ? (rest[0] as BufferEncoding) : undefined);
    if (left !== 0) return write(chunk, ...rest);
    end(chunk, ...rest);
    // got's time-outs `send` and `response` wait for it.
    request.once('finish', () => request.emit('upload-complete'));
    // Who wrote a stream ends it when that is drained, and is told that it has ended.
    request.end = ((done?: Done) => {
      if (request.writableFinished) done?.();
      else if (done !== undefined) request.once('finish', done);
      return request;
    }) as ClientRequest['end'];
    return true;
  };
  return request;
}
