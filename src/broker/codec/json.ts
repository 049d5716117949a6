import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Clock } from '../../clock.ts';
import { jsonProblem } from '../../json-error.ts';
import { countHeader, HEADER, type Headers, numberHeader, textHeader, textOf } from './headers.ts';
import { at, type Pointer, parsePointer } from './json-pointer.ts';

/** What a broker message says, as far as the main thread must know; see Delivery for the fields. */
export interface Decoded {
  identity: string;
  orderId: string;
  merchantId: string;
  attempt: number;
  hop: number;
  ends: number;
  crashes: number;
  returns: number;
  confirmFirst: boolean;
  possiblySent: boolean;
  body: string;
  fingerprint: number;
  publishedAt: number;
  deadlineAt: number;
  notBeforeAt: number;
  ours: boolean;
  malformed: string | undefined;
}

export interface CodecOptions {
  readonly merchantKey: string;
  readonly orderIdKey: string;
  readonly maxMessageBytes: number;
  readonly deadlineMs: number;
  /** Names this process in the headers of what it republishes. */
  readonly instance: string;
  readonly clock: Clock;
}

/** The parts of an AMQP message that are read; amqplib's shape. */
export interface Incoming {
  readonly content: Buffer;
  readonly properties: {
    readonly headers?: Headers | undefined;
    readonly messageId?: unknown;
    readonly timestamp?: unknown;
  };
}

const OLDEST_PLAUSIBLE_MS = Date.UTC(2010, 0, 1);
/** IDs travel in headers, of which the wire format takes 64 KiB in all. */
const MAX_ID = 1000;
/** Further away, a deadline was meant in another unit. */
const LATEST_DEADLINE_MS = 30 * 24 * 3600_000;
const FUTURE_SKEW_MS = 5 * 60_000;
const NO_HEADERS: Headers = {};

/** Reads orders that are JSON, by headers where they tell and by the body where they do not. */
export class JsonCodec {
  readonly #options: CodecOptions;
  readonly #clock: Clock;
  readonly #merchant: Pointer;
  readonly #orderId: Pointer;
  /** Times in headers that cannot be true and were ignored. */
  implausibleTimes = 0;

  constructor(options: CodecOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#merchant = parsePointer(options.merchantKey);
    this.#orderId = parsePointer(options.orderIdKey);
  }

  /** Never throws: what cannot be read comes back with `malformed` saying why. */
  decode(message: Incoming): Decoded {
    const { content, properties } = message;
    const headers = properties.headers ?? NO_HEADERS;
    const now = this.#clock.now();
    const wall = this.#clock.wall();
    const messageId = textOf(properties.messageId);
    const hop = countHeader(headers, HEADER.hop, 0);
    const publishedAt = this.#publishedAt(headers, properties.timestamp, wall);
    const deadline =
      this.#plausible(numberHeader(headers, HEADER.deadline), wall + LATEST_DEADLINE_MS) ??
      publishedAt + this.#options.deadlineMs;
    const notBefore = hop === 0 ? undefined : numberHeader(headers, HEADER.notBefore);
    const decoded: Decoded = {
      identity: textHeader(headers, HEADER.identity) ?? messageId ?? '',
      orderId: textHeader(headers, HEADER.orderId) ?? '',
      merchantId: textHeader(headers, HEADER.merchantId) ?? '',
      attempt: countHeader(headers, HEADER.attempt, 1),
      hop,
      ends: hop === 0 ? 0 : countHeader(headers, HEADER.ends, 0),
      crashes: countHeader(headers, HEADER.crashes, 0),
      returns: hop === 0 ? 0 : countHeader(headers, HEADER.returns, 0),
      confirmFirst: headers[HEADER.confirmFirst] === true,
      possiblySent: headers[HEADER.possiblySent] === true,
      body: '',
      fingerprint: 0,
      publishedAt,
      deadlineAt: now + (deadline - wall),
      notBeforeAt: notBefore === undefined || notBefore <= wall ? 0 : now + (notBefore - wall),
      ours: hop > 0 && headers[HEADER.by] === this.#options.instance,
      malformed: undefined,
    };
    if (content.length > this.#options.maxMessageBytes) {
      decoded.malformed = `${content.length} bytes, more than --max-message-bytes ${this.#options.maxMessageBytes}`;
    } else if (!isUtf8(content)) {
      decoded.malformed = 'the body is not UTF-8';
    } else {
      decoded.body = content.toString('utf8');
      decoded.malformed = this.#fillFromBody(decoded, messageId);
    }
    decoded.fingerprint = crc32(content, crc32(decoded.merchantId));
    return decoded;
  }

  /** Parses the body only when headers do not tell; returns why the message is malformed, if it is. */
  #fillFromBody(decoded: Decoded, messageId: string | undefined): string | undefined {
    let body: unknown;
    if (decoded.merchantId === '' || decoded.orderId === '') {
      try {
        body = JSON.parse(decoded.body);
      } catch (error) {
        return `the body is ${jsonProblem(error, decoded.body)}`;
      }
      if (decoded.merchantId === '') decoded.merchantId = textOf(at(body, this.#merchant)) ?? '';
      if (decoded.orderId === '') decoded.orderId = textOf(at(body, this.#orderId)) ?? messageId ?? '';
    }
    if (decoded.merchantId === '') {
      return `no merchant ID: expected text or a number in the header ${HEADER.merchantId} or at ${this.#options.merchantKey} in the body${received(at(body, this.#merchant))}`;
    }
    if (decoded.orderId === '') {
      return `no order ID: expected text or a number in the header ${HEADER.orderId} or at ${this.#options.orderIdKey} in the body, or a message_id${received(at(body, this.#orderId))}`;
    }
    for (const [name, id] of [['merchant', decoded.merchantId] as const, ['order', decoded.orderId] as const]) {
      if (id.length > MAX_ID) return `its ${name} ID has ${id.length} characters, more than ${MAX_ID}`;
    }
    // Two messages of one order differ in their bodies, or go to two merchants; the hash keeps them two.
    if (decoded.identity === '') decoded.identity = `${decoded.orderId}:${hash(decoded.merchantId, decoded.body)}`;
    return undefined;
  }

  #publishedAt(headers: Headers, timestamp: unknown, wall: number): number {
    const precise = this.#plausible(numberHeader(headers, HEADER.publishedAt), wall);
    if (precise !== undefined) return precise;
    // AMQP's own timestamp is whole seconds: the second's end, so that no deadline comes early.
    const seconds = typeof timestamp === 'number' ? timestamp : undefined;
    const coarse = this.#plausible(seconds === undefined ? undefined : seconds * 1000 + 999, wall + 1000);
    return coarse ?? wall;
  }

  #plausible(time: number | undefined, latest: number): number | undefined {
    if (time === undefined) return undefined;
    if (time >= OLDEST_PLAUSIBLE_MS && time <= latest + FUTURE_SKEW_MS) return time;
    this.implausibleTimes++;
    return undefined;
  }
}

/** What stands where an ID should be; its kind alone, because values are customer data. */
function received(value: unknown): string {
  if (value === undefined) return ', received neither';
  if (typeof value === 'number')
    return ', received a number too large to be read exactly: publish it as text, in quotes';
  const kind = value === '' ? 'empty text' : value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
  return `, received ${kind}`;
}

function hash(merchantId: string, body: string): string {
  return createHash('sha256').update(merchantId).update('\0').update(body).digest('hex').slice(0, 32);
}
