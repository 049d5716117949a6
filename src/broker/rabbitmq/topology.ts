import { RUNGS_MS } from '../../ladder.ts';

/** Every name that orderlane uses on the broker derives from the source queue's. */
export const names = {
  dead: (queue: string): string => `${queue}.dead`,
  ambiguous: (queue: string): string => `${queue}.ambiguous`,
  rung: (queue: string, delayMs: number): string => `${queue}.retry.${delayMs}`,
  /** The exchange through which the ladder's messages return. */
  returns: (queue: string): string => `${queue}.retry`,
  /** The exchange to which outcome events go. */
  outcomes: (queue: string): string => `${queue}.outcomes`,
};

export type Arguments = Readonly<Record<string, string | number>>;

export interface QueueDeclaration {
  readonly name: string;
  readonly arguments: Arguments;
}

export interface Topology {
  readonly source: QueueDeclaration;
  readonly others: readonly QueueDeclaration[];
  /** A direct exchange, bound to the source queue by its name. */
  readonly exchange: string;
}

/**
 * Quorum, and no delivery limit. RabbitMQ 4 gives quorum queues a limit of 20 by default, which drops innocent prefetched
 * orders after 21 connection losses: -1 means none there. On 3.x the same -1 drops every message at its first return,
 * and no argument means no limit.
 */
function quorum(serverVersion: string): Arguments {
  const major = Number.parseInt(serverVersion, 10);
  return major >= 4 ? { 'x-queue-type': 'quorum', 'x-delivery-limit': -1 } : { 'x-queue-type': 'quorum' };
}

/** How the source queue is declared; a producer that declares it too must say the same. */
export function sourceQueueArguments(serverVersion: string): Arguments {
  return quorum(serverVersion);
}

export function topologyOf(queue: string, serverVersion: string): Topology {
  const plain = quorum(serverVersion);
  const rungs = RUNGS_MS.map((delayMs) => ({
    name: names.rung(queue, delayMs),
    arguments: {
      ...plain,
      // At-least-once dead-lettering loses nothing on the way back, and needs reject-publish.
      'x-message-ttl': delayMs,
      'x-dead-letter-exchange': names.returns(queue),
      'x-dead-letter-routing-key': queue,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    },
  }));
  return {
    source: { name: queue, arguments: sourceQueueArguments(serverVersion) },
    others: [
      { name: names.dead(queue), arguments: plain },
      { name: names.ambiguous(queue), arguments: plain },
      ...rungs,
    ],
    exchange: names.returns(queue),
  };
}
