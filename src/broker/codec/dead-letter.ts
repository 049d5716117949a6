import { crc32 } from 'node:zlib';
import type { DeadLetter } from '../../dead-letter.ts';
import { countHeader, HEADER, type Headers, numberHeader, textHeader, textOf } from './headers.ts';
import type { Incoming } from './json.ts';

const NO_HEADERS: Headers = {};

/** What a dead letter's headers say; the body is not parsed. */
export function readDeadLetter({ content, properties }: Incoming): DeadLetter {
  const headers = properties.headers ?? NO_HEADERS;
  const messageId = textOf(properties.messageId) ?? '';
  const merchantId = textHeader(headers, HEADER.merchantId) ?? '';
  return {
    merchantId,
    orderId: textHeader(headers, HEADER.orderId) ?? messageId,
    identity: textHeader(headers, HEADER.identity) ?? messageId,
    hop: countHeader(headers, HEADER.hop, 0),
    attempt: countHeader(headers, HEADER.attempt, 1),
    reason: textHeader(headers, HEADER.reason) ?? '',
    detail: textHeader(headers, HEADER.detail) ?? '',
    endedAt: numberHeader(headers, HEADER.endedAt),
    publishedAt: numberHeader(headers, HEADER.publishedAt),
    replayedAt: numberHeader(headers, HEADER.replayedAt),
    bytes: content.length,
    fingerprint: crc32(content, crc32(merchantId)),
  };
}
