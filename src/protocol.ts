import type { MessagePort } from 'node:worker_threads';
import type { Merchant } from './order.ts';
import type { Outcome } from './outcome.ts';

/**
 * All that crosses between the main thread and a shard's thread. Orders and outcomes travel as flat arrays: structured
 * clone pays per object, and this is the hot path.
 */

/** What a thread must know for all of its life; sent as its first task. */
export interface Boot {
  readonly kind: 'boot';
  readonly shard: number;
  /** Where outcomes and log lines go. */
  readonly port: MessagePort;
  readonly table: SharedArrayBuffer;
  readonly slots: number;
  /** `file:` URL of the handler module; absent for the built-in forwarder. */
  readonly handlerUrl?: string;
  readonly connectTimeoutMs: number;
  /** Connections kept for the next call, at most. */
  readonly idleSockets: number;
  /** Hosts that may be plain HTTP or at a private address. */
  readonly allowHosts: readonly string[];
  /** What merchants answer, and handlers return, is wanted on the main thread. */
  readonly answers: boolean;
  readonly logLevel: string;
  readonly logFields: readonly string[];
}

export type Booted = { readonly ok: true; readonly confirms: boolean } | { readonly ok: false; readonly error: string };

export interface Batch {
  readonly kind: 'batch';
  /** ORDER_FIELDS values an order. */
  readonly orders: readonly (string | number)[];
  /**
   * Merchants that this thread sees for the first time, or that changed. One that has all but ID and URL in common with the whole
   * one sent last, now or earlier, is two strings, the URL empty when there is none: mostly they are alike, and an object costs
   * three times as much on its way, and a copy of its headers.
   */
  readonly merchants?: readonly (Merchant | string)[];
  /** Merchants whose lanes are gone. */
  readonly forget?: readonly string[];
}

/** The directory now allows these hosts. */
export interface Allow {
  readonly kind: 'allow';
  readonly hosts: readonly string[];
}

export type Task = Boot | Batch | Allow;

/** slot, generation, merchant ID, order ID, identity, attempt, confirm first (0 or 1), deadline, published at, body. */
export const ORDER_FIELDS = 10;

/** From a thread: outcomes (OUTCOME_FIELDS values each) and finished log lines. */
export interface Report {
  readonly outcomes?: readonly unknown[];
  readonly log?: readonly string[];
}

/** slot, generation, code, reason, status, retry after, answer. The last four may be undefined. */
export const OUTCOME_FIELDS = 7;

/** The states of a slot beside the outcomes. */
export const FREE = 0;
export const HANDED = 1;
export const SENDING = 2;

/** Outcomes that a thread can report, by code; the position is part of the slot table's format. */
const KINDS = [
  'delivered',
  'rejected',
  'malformed',
  'not-sent',
  'ambiguous',
  'throttled',
  'expired',
  'failed',
] as const;
export type ThreadOutcome = Extract<Outcome, { kind: (typeof KINDS)[number] }>;

const FIRST_OUTCOME = 3;

export function outcomeCode(outcome: ThreadOutcome): number {
  return FIRST_OUTCOME + KINDS.indexOf(outcome.kind);
}

/** An outcome from its code and what is known beside it; undefined for a code that is not an outcome's. */
export function outcomeOf(
  code: number,
  reason?: string,
  status?: number,
  retryAfterMs?: number,
  answer?: string,
): ThreadOutcome | undefined {
  const kind = KINDS[code - FIRST_OUTCOME];
  if (kind === undefined) return undefined;
  const why = reason ?? 'the thread ended before it could say more';
  const withStatus = {
    ...(status === undefined ? {} : { status }),
    ...(answer === undefined ? {} : { answer }),
  };
  switch (kind) {
    case 'delivered':
      return { kind, ...withStatus };
    case 'rejected':
      return { kind, reason: why, ...withStatus };
    case 'ambiguous':
    case 'throttled':
      return { kind, reason: why, ...withStatus, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    case 'malformed':
    case 'not-sent':
    case 'expired':
    case 'failed':
      return { kind, reason: why };
  }
}
