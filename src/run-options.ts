import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { RabbitmqOptions } from './broker/rabbitmq/rabbitmq-source.ts';
import { systemClock } from './clock.ts';
import type { DispatcherOptions } from './dispatcher/dispatcher.ts';
import type { ShardPoolOptions } from './dispatcher/shard-pool.ts';
import type { Directory } from './merchant/directory.ts';
import type { Options } from './options.ts';

/** What each part of a process is told of its options. */

export function shardPoolOptions(options: Options, { allowHosts }: Pick<Directory, 'allowHosts'>): ShardPoolOptions {
  return {
    shards: options.shards,
    slots: options.concurrency,
    threadTimeoutMs: options.threadTimeoutMs,
    boot: {
      ...(options.handler === undefined ? {} : { handlerUrl: pathToFileURL(resolve(options.handler)).href }),
      connectTimeoutMs: options.connectTimeoutMs,
      idleSockets: idleSockets(options),
      allowHosts,
      answers: options.outcomes !== 'off',
      logLevel: options.logLevel,
      logFields: options.logFields,
    },
  };
}

const LEAST_IDLE = 1024;

/**
 * Connections that each thread keeps open for its next call: as many as its part of all calls can have, so that those which end
 * together and begin again, as behind merchants that all answer after 5 s, need no new ones.
 */
export function idleSockets({ concurrency, shards }: Pick<Options, 'concurrency' | 'shards'>): number {
  return Math.max(LEAST_IDLE, Math.ceil(concurrency / shards));
}

export function sourceOptions(options: Options): RabbitmqOptions {
  return {
    urls: options.broker,
    ...(options.brokerCa === undefined ? {} : { ca: options.brokerCa }),
    ...(options.brokerCert === undefined ? {} : { cert: options.brokerCert }),
    ...(options.brokerKey === undefined ? {} : { key: options.brokerKey }),
    queue: options.queue,
    declare: options.declare,
    outcomes: options.outcomes !== 'off',
    prefetch: options.prefetch,
    windowBytes: options.windowBytes,
    connectWaitMs: options.connectWaitMs,
    ...(options.managementUrl === undefined ? {} : { managementUrl: options.managementUrl }),
    merchantKey: options.merchantKey,
    orderIdKey: options.orderIdKey,
    maxMessageBytes: options.maxMessageBytes,
    deadlineMs: options.deadlineMs,
    instance: randomUUID().slice(0, 8),
    clock: systemClock,
  };
}

export function dispatcherOptions(options: Options, canConfirm: boolean): DispatcherOptions {
  return {
    concurrency: options.concurrency,
    prefetch: options.prefetch,
    maxAttempts: options.maxAttempts,
    maxCrashes: options.maxCrashes,
    backoffMs: options.backoffMs,
    backoffMaxMs: options.backoffMaxMs,
    canConfirm,
    outcomes: options.outcomes,
  };
}
