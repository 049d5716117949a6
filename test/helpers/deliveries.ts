import { crc32 } from 'node:zlib';
import type { Delivery } from '../../src/broker/source.ts';
import type { Clock } from '../../src/clock.ts';
import { BREAKER, type Merchant } from '../../src/order.ts';

/** What `HandClock` shows when it is made, on both scales. */
export const START = 1_000_000;
export const WALL: number = Date.UTC(2026, 10, 20, 12);

/** A clock that moves only when told to. */
export class HandClock implements Clock {
  #passed = 0;

  now(): number {
    return START + this.#passed;
  }

  wall(): number {
    return WALL + this.#passed;
  }

  pass(ms: number): void {
    this.#passed += ms;
  }
}

let made = 0;

/** A fresh first copy of an order, published just now, with ten minutes to its deadline. */
export function delivery(fields: Partial<Delivery> = {}): Delivery {
  const number = ++made;
  const body = fields.body ?? `{"id":"o-${number}"}`;
  return {
    epoch: 1,
    tag: number,
    redelivered: false,
    identity: `i-${number}`,
    orderId: `o-${number}`,
    merchantId: 'pizza',
    attempt: 1,
    hop: 0,
    ends: 0,
    crashes: 0,
    returns: 0,
    cameBack: fields.redelivered === true ? 1 : 0,
    confirmFirst: false,
    possiblySent: false,
    body,
    fingerprint: crc32(body, crc32(fields.merchantId ?? 'pizza')),
    bytes: Buffer.byteLength(body),
    publishedAt: WALL,
    deadlineAt: START + 600_000,
    notBeforeAt: 0,
    ours: false,
    malformed: undefined,
    ...fields,
  };
}

/** A merchant of the directory that puts no limit in the way. */
export function merchant(fields: Partial<Merchant> = {}): Merchant {
  return {
    id: 'pizza',
    url: 'https://pos.example.com/orders',
    headers: {},
    timeoutMs: 15_000,
    concurrency: 50,
    weight: 1,
    duplicates: 'idempotent',
    keyWindowMs: 86_400_000,
    paused: false,
    breaker: BREAKER,
    ...fields,
  };
}
