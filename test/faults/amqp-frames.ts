/** The parts of AMQP 0-9-1's wire format that a proxy must know (sections 2.3 and 4.2). */

const PROTOCOL_HEADER_BYTES = 8;
const FRAME_HEADER_BYTES = 7;
const FRAME_END = 0xce;
const METHOD = 1;
const OTHER_KINDS: Readonly<Record<number, string>> = { 2: 'header', 3: 'body', 8: 'heartbeat' };

/** Methods by class and number: those that orderlane and RabbitMQ say to each other. */
const METHODS: Readonly<Record<string, string>> = {
  '10.10': 'connection.start',
  '10.11': 'connection.start-ok',
  '10.30': 'connection.tune',
  '10.31': 'connection.tune-ok',
  '10.40': 'connection.open',
  '10.41': 'connection.open-ok',
  '10.50': 'connection.close',
  '10.51': 'connection.close-ok',
  '10.60': 'connection.blocked',
  '10.61': 'connection.unblocked',
  '20.10': 'channel.open',
  '20.11': 'channel.open-ok',
  '20.40': 'channel.close',
  '20.41': 'channel.close-ok',
  '40.10': 'exchange.declare',
  '40.11': 'exchange.declare-ok',
  '50.10': 'queue.declare',
  '50.11': 'queue.declare-ok',
  '50.20': 'queue.bind',
  '50.21': 'queue.bind-ok',
  '60.10': 'basic.qos',
  '60.11': 'basic.qos-ok',
  '60.20': 'basic.consume',
  '60.21': 'basic.consume-ok',
  '60.30': 'basic.cancel',
  '60.31': 'basic.cancel-ok',
  '60.40': 'basic.publish',
  '60.50': 'basic.return',
  '60.60': 'basic.deliver',
  '60.80': 'basic.ack',
  '60.120': 'basic.nack',
  '85.10': 'confirm.select',
  '85.11': 'confirm.select-ok',
};

/** Cuts a stream of bytes into frames; a client's begins with the protocol header. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #expectsHeader: boolean;

  constructor(from: 'client' | 'broker') {
    this.#expectsHeader = from === 'client';
  }

  /** The frames that are whole now. Throws when the bytes are not AMQP. */
  *read(chunk: Buffer): Generator<Buffer> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const length = this.#nextLength();
      if (length === undefined || this.#rest.length < length) return;
      const frame = this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
      if (!this.#expectsHeader && frame.at(-1) !== FRAME_END) throw notAmqp(frame);
      this.#expectsHeader = false;
      yield frame;
    }
  }

  #nextLength(): number | undefined {
    if (this.#expectsHeader) return PROTOCOL_HEADER_BYTES;
    if (this.#rest.length < FRAME_HEADER_BYTES) return undefined;
    const type = this.#rest[0] as number;
    if (type !== METHOD && OTHER_KINDS[type] === undefined) throw notAmqp(this.#rest);
    return FRAME_HEADER_BYTES + this.#rest.readUInt32BE(3) + 1;
  }
}

function notAmqp(bytes: Buffer): Error {
  return new Error(`expected a frame of AMQP 0-9-1, got ${bytes.toString('hex', 0, 32)}`);
}

/** What a frame is: a method's name, `header`, `body`, `heartbeat` or `protocol`. */
export function kindOf(frame: Buffer): string {
  if (frame[0] !== METHOD) return OTHER_KINDS[frame[0] as number] ?? 'protocol';
  const method = `${frame.readUInt16BE(7)}.${frame.readUInt16BE(9)}`;
  return METHODS[method] ?? method;
}

/** The broker's word that it has cancelled a consumer, which it says when the queue or its leader is gone. */
export function basicCancel(channel: number, consumerTag: string): Buffer {
  const tag = Buffer.from(consumerTag);
  const payload = Buffer.concat([Buffer.from([0, 60, 0, 30, tag.length]), tag, Buffer.from([1])]);
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.length + 1);
  frame[0] = 1;
  frame.writeUInt16BE(channel, 1);
  frame.writeUInt32BE(payload.length, 3);
  payload.copy(frame, FRAME_HEADER_BYTES);
  frame[frame.length - 1] = FRAME_END;
  return frame;
}

/** The tag in a `basic.consume-ok`, and the channel that it came on. */
export function consumerOf(frame: Buffer): { readonly channel: number; readonly tag: string } {
  const start = FRAME_HEADER_BYTES + 4;
  const length = frame[start] as number;
  return { channel: frame.readUInt16BE(1), tag: frame.toString('utf8', start + 1, start + 1 + length) };
}
