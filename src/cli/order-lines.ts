import { randomUUID } from 'node:crypto';
import { JsonCodec } from '../broker/codec/json.ts';
import { systemClock } from '../clock.ts';
import { OrderlaneError } from '../errors.ts';

export interface OrderLine {
  readonly messageId: string;
  readonly orderId: string;
  readonly merchantId: string;
  /** The line's bytes, without its end. */
  readonly body: Buffer;
}

export interface LineOptions {
  /** What is read, for messages. */
  readonly name: string;
  /** JSON pointers. */
  readonly merchantKey: string;
  readonly orderIdKey: string;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BLANK = /^[ \t]*$/;
/** RabbitMQ 4 takes no larger message by default. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/**
 * Orders from NDJSON, one JSON value a line; blank lines are skipped. A line that `orderlane work` could not read ends it:
 * what comes after it was perhaps not meant as it stands.
 */
export async function* readOrders(input: AsyncIterable<Buffer>, options: LineOptions): AsyncGenerator<OrderLine> {
  // The same reading as at the other end, so that what is published can be delivered.
  const codec = new JsonCodec({
    merchantKey: options.merchantKey,
    orderIdKey: options.orderIdKey,
    maxMessageBytes: MAX_LINE_BYTES,
    deadlineMs: 0,
    instance: 'publish',
    clock: systemClock,
  });
  let number = 0;
  let orders = 0;
  for await (const body of lines(input)) {
    number++;
    if (body.length < 1024 && BLANK.test(body.toString('latin1'))) continue;
    const messageId = randomUUID();
    const { malformed, merchantId, orderId } =
      body.length > MAX_LINE_BYTES
        ? { malformed: `longer than ${MAX_LINE_BYTES} bytes`, merchantId: '', orderId: '' }
        : codec.decode({ content: body, properties: { messageId } });
    if (malformed !== undefined) {
      throw new OrderlaneError(
        'USAGE',
        `${options.name}, line ${number}: ${malformed}. Expected one order a line, as JSON, with its merchant ID at ` +
          `${options.merchantKey} (--merchant-key). Nothing from this line on is published; ${orders} orders before it are.`,
      );
    }
    orders++;
    yield { messageId, orderId, merchantId, body };
  }
}

/** Lines as bytes, ended by \n or \r\n. One that is too long comes as its beginning, and is the last. */
async function* lines(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      const last = chunk.subarray(from, end);
      yield withoutReturn(parts.length === 0 ? last : Buffer.concat([...parts, last]));
      parts = [];
      size = 0;
      from = end + 1;
    }
    parts.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > MAX_LINE_BYTES) break;
  }
  if (size > 0) yield withoutReturn(Buffer.concat(parts));
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === RETURN ? line.subarray(0, -1) : line;
}
