import type { Peer } from '../peer.ts';
import { celery } from '../peers/celery.ts';
import { loop } from '../peers/loop.ts';
import { type HandlerName, orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { cpuPerOrder, memory, once, perSecond, type Run, type Scenario } from '../scenario.ts';
import { atLeast, atMost } from '../summary.ts';
import { type Trial, trial } from '../trial.ts';

const NOOP = 'no-op';
const FORWARDER = 'forwarder';
const LARGE = 'forwarder, 20 KB';
const TLS = 'forwarder, TLS';
const UNDICI = 'undici handler';
const SHARDS = [1, 2, 4];
const GOAL_SHARDS = 2;
const LARGE_BYTES = 20_000;
const GOT = 'plain amqplib + got';
const TWO = 'orderlane, 2 shards';

export const cost: Scenario = {
  name: 'cost',
  describe:
    'at saturation: merchants without delay, 200 calls in flight (no-op: 4,000 orders), 1,000 merchants, equal shares',
  figures: [cpuPerOrder, perSecond, memory],
  runs: (quick) => {
    const calls = {
      // So many until each of two threads has compiled what it needs.
      warmup: quick ? 6000 : 40_000,
      orders: quick ? 6000 : 40_000,
      concurrency: 200,
      batch: { merchants: 1000 },
    };
    const merchants = { latencyMs: 0 };
    const slower = (peer: Peer, of: Omit<Trial, 'peer'>): Run =>
      trial({ ...of, peer, warmup: quick ? 300 : 2000, orders: quick ? 1200 : 8000 });
    const noop = {
      ...calls,
      case: NOOP,
      warmup: quick ? 20_000 : 40_000,
      orders: quick ? 30_000 : 300_000,
      concurrency: 4000,
    };
    const forwarder = { ...calls, case: FORWARDER, merchants };
    const undici = { ...calls, case: UNDICI, merchants };
    const large = { ...calls, case: LARGE, merchants, batch: { merchants: 1000, bytes: LARGE_BYTES } };
    const tls = { ...calls, case: TLS, merchants: { ...merchants, tls: true } };
    const shards = quick ? SHARDS.slice(0, 2) : SHARDS;
    const ours = (of: Omit<Trial, 'peer'>, handler?: HandlerName): Run[] =>
      shards.flatMap((count) => {
        const run = trial({ ...of, peer: orderlane({ handler, shards: count }) });
        return count > GOAL_SHARDS ? once([run]) : run;
      });
    const beside = (of: Omit<Trial, 'peer'>, ...peers: readonly Peer[]): Run[] =>
      peers.map((peer) => trial({ ...of, peer }));
    const gevent = (of: Omit<Trial, 'peer'>, does: 'noop' | 'post' = 'post'): Run =>
      slower(celery('gevent', does, 200), of);
    if (quick) {
      return [
        ...beside(noop, plain('ack'), orderlane({ handler: 'noop' })),
        ...beside(forwarder, plain('got')),
        ...ours(forwarder),
        gevent(forwarder),
        ...beside(undici, plain('undici'), orderlane({ handler: 'undici' })),
      ];
    }
    return [
      ...beside(noop, plain('ack')),
      ...ours(noop, 'noop'),
      ...once([gevent(noop, 'noop'), slower(celery('prefork', 'noop', 4), noop)]),
      ...once(beside(forwarder, loop('got'))),
      ...beside(forwarder, plain('got')),
      ...ours(forwarder),
      gevent(forwarder),
      ...once([slower(celery('prefork', 'post', 4), forwarder)]),
      ...once(beside(undici, loop('undici'))),
      ...beside(undici, plain('undici')),
      ...ours(undici, 'undici'),
      ...once([...beside(large, plain('got')), ...ours(large), gevent(large)]),
      ...once([...beside(tls, plain('got')), ...ours(tls), gevent(tls)]),
    ];
  },
  goals: (summary) => [
    atLeast(summary.ratio(perSecond, NOOP, 'orderlane', 'bare amqplib, acks only'), 0.85, 'no-op over bare amqplib'),
    atMost(summary.ratio(cpuPerOrder, FORWARDER, 'orderlane', GOT), 1.1, 'forwarder, CPU over plain got'),
    atMost(
      summary.ratio(cpuPerOrder, FORWARDER, 'orderlane', 'Celery gevent 200'),
      0.125,
      'forwarder, CPU over Celery gevent',
    ),
    atMost(
      summary.ratio(cpuPerOrder, UNDICI, 'orderlane', 'plain amqplib + undici'),
      1.25,
      'undici handler, CPU over plain undici',
    ),
    atMost(summary.ratio(cpuPerOrder, FORWARDER, TWO, GOT), 1.25, 'two shards: forwarder, CPU over plain got'),
    atMost(
      summary.ratio(cpuPerOrder, UNDICI, TWO, 'plain amqplib + undici'),
      1.35,
      'two shards: undici handler, CPU over plain undici',
    ),
  ],
};
