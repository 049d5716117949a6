import { Pace } from '../../pace.ts';

/** A delivery in the order of its tag, for as long as it has not been acknowledged. */
export interface Unacked {
  readonly tag: number;
  before: Unacked | undefined;
  after: Unacked | undefined;
}

const FRAME_BYTES = 21;

/**
 * The unacknowledged deliveries of one channel, and the acknowledgements that are due next. An ack never waits for an
 * older call: `multiple` is used only up to a tag below which nothing is unsettled, every other tag gets a frame of its
 * own, and all of them leave in one write.
 */
export class AckWindow {
  readonly #write: (frames: Buffer) => void;
  readonly #channel: number;
  #oldest: Unacked | undefined;
  #newest: Unacked | undefined;
  #due: number[] = [];
  readonly #pace = new Pace(() => this.flush());

  constructor(channel: number, write: (frames: Buffer) => void) {
    this.#channel = channel;
    this.#write = write;
  }

  add(delivery: Unacked): void {
    delivery.before = this.#newest;
    if (this.#newest === undefined) this.#oldest = delivery;
    else this.#newest.after = delivery;
    this.#newest = delivery;
  }

  ack(delivery: Unacked): void {
    const { before, after } = delivery;
    if (before === undefined) this.#oldest = after;
    else before.after = after;
    if (after === undefined) this.#newest = before;
    else after.before = before;
    delivery.before = undefined;
    delivery.after = undefined;
    this.#due.push(delivery.tag);
    this.#pace.schedule();
  }

  /** Writes the acks that are due now. */
  flush(): void {
    const due = this.#due;
    if (due.length === 0) return;
    this.#due = [];
    const lowest = this.#oldest?.tag ?? Number.POSITIVE_INFINITY;
    let upTo = 0;
    let alone = 0;
    for (const tag of due) {
      if (tag > lowest) due[alone++] = tag;
      else if (tag > upTo) upTo = tag;
    }
    const frames = Buffer.allocUnsafe(FRAME_BYTES * (alone + (upTo > 0 ? 1 : 0)));
    let offset = 0;
    if (upTo > 0) offset = writeAck(frames, offset, this.#channel, upTo, true);
    for (let i = 0; i < alone; i++) offset = writeAck(frames, offset, this.#channel, due[i] as number, false);
    this.#write(frames);
  }
}

/**
 * A basic.ack frame (AMQP 0-9-1, sections 2.3.5 and 1.8.3.13). amqplib writes each ack through two streams to the
 * socket, one system call an ack; made here, all acks of a turn are one write.
 */
function writeAck(frames: Buffer, offset: number, channel: number, tag: number, multiple: boolean): number {
  let at = frames.writeUInt8(1, offset); // a method frame
  at = frames.writeUInt16BE(channel, at);
  at = frames.writeUInt32BE(13, at); // the payload's size
  at = frames.writeUInt16BE(60, at); // class basic
  at = frames.writeUInt16BE(80, at); // method ack
  at = frames.writeBigUInt64BE(BigInt(tag), at);
  at = frames.writeUInt8(multiple ? 1 : 0, at);
  return frames.writeUInt8(0xce, at); // the frame's end
}
