import type { Channel, ChannelModel } from 'amqplib';
import { messageOf, OrderlaneError } from '../../errors.ts';
import { codeOf, onOwnChannel } from './own-channel.ts';
import { type QueueDeclaration, type Topology, topologyOf } from './topology.ts';

/** Versions that may lose messages in dead-letter cycles, which the ladder is (rabbitmq-server #11159). */
const LOSES_MESSAGES = /^3\.13\.[0-2]\b/;

export interface Declared {
  readonly version: string;
  /** What differs and is tolerated. */
  readonly warnings: readonly string[];
}

/** As the broker names it, or `unknown`. */
export function versionOf(connection: ChannelModel): string {
  return String(connection.connection.serverProperties['version'] ?? 'unknown');
}

/** Why a version is not to be used; undefined when it may be. */
export function versionProblem(version: string): string | undefined {
  if (!LOSES_MESSAGES.test(version)) return undefined;
  return `RabbitMQ ${version} may lose messages that are dead-lettered in a cycle, as delayed retries are: upgrade to 3.13.3 or later.`;
}

/**
 * Makes the topology (`create`), or makes nothing and finds out what is missing (`passive`). Either way a queue with
 * other arguments is found by declaring it with ours: RabbitMQ's refusal names the argument and both values.
 */
export async function declare(connection: ChannelModel, queue: string, mode: 'create' | 'passive'): Promise<Declared> {
  const version = versionOf(connection);
  const problem = versionProblem(version);
  if (problem !== undefined) throw new OrderlaneError('BROKER_REFUSED', problem);
  const topology = topologyOf(queue, version);
  const warnings: string[] = [];
  if (mode === 'passive') await requireAll(connection, topology);
  try {
    await declareQueue(connection, topology.source);
  } catch (error) {
    if (mode === 'create' || !isMismatch(error)) throw error;
    warnings.push(messageOf(error));
  }
  for (const each of topology.others) await declareQueue(connection, each);
  await declareExchange(connection, topology.exchange);
  if (mode === 'create') {
    await call(connection, `the binding of queue '${queue}'`, (channel) =>
      channel.bindQueue(queue, topology.exchange, queue),
    );
  } else {
    warnings.push(
      `not checked: that exchange '${topology.exchange}' is bound to queue '${queue}' with the key '${queue}', without which retries do not come back`,
    );
  }
  return { version, warnings };
}

async function requireAll(connection: ChannelModel, topology: Topology): Promise<void> {
  const missing: string[] = [];
  for (const { name } of [topology.source, ...topology.others]) {
    try {
      await call(connection, `queue '${name}'`, (channel) => channel.checkQueue(name));
    } catch (error) {
      if (codeOf(error) !== 404) throw error;
      missing.push(`queue '${name}'`);
    }
  }
  try {
    await call(connection, `exchange '${topology.exchange}'`, (channel) => channel.checkExchange(topology.exchange));
  } catch (error) {
    if (codeOf(error) !== 404) throw error;
    missing.push(`exchange '${topology.exchange}'`);
  }
  if (missing.length === 0) return;
  const isThere = !missing.includes(`queue '${topology.source.name}'`);
  const only = isThere ? `, which takes queue '${topology.source.name}' only when it is what orderlane would make` : '';
  throw new OrderlaneError(
    'BROKER_REFUSED',
    `with --declare passive everything must be there, but the broker has no ${missing.join(', no ')}. Make them, or run once with --declare create${only}.`,
  );
}

export async function declareExchange(
  connection: ChannelModel,
  exchange: string,
  type: 'direct' | 'topic' = 'direct',
): Promise<void> {
  await call(connection, `exchange '${exchange}'`, (channel) =>
    channel.assertExchange(exchange, type, { durable: true }),
  );
}

export async function declareQueue(connection: ChannelModel, queue: QueueDeclaration): Promise<void> {
  await call(connection, `queue '${queue.name}'`, (channel) =>
    channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments }),
  );
}

const MISMATCH =
  /inequivalent arg '([^']+)' for (queue|exchange) '([^']+)'.*?: received (.+?) but current is (.+?)(?:"|$)/;

/** One call on a channel of its own; a refusal says what to do about it. */
export async function call<T>(
  connection: ChannelModel,
  what: string,
  work: (channel: Channel) => Promise<T>,
): Promise<T> {
  try {
    return await onOwnChannel(connection, what, work);
  } catch (error) {
    throw explained(error, what);
  }
}

function explained(error: unknown, what: string): unknown {
  const message = messageOf(error);
  const mismatch = MISMATCH.exec(message);
  if (mismatch !== null) {
    const [, argument, , , received, current] = mismatch;
    const text = `${what} has other arguments than orderlane needs: ${argument} should be ${plain(received)} but is ${plain(current)}. ${wayOut(what, argument === 'x-queue-type')}`;
    return new OrderlaneError('BROKER_REFUSED', text, { cause: error });
  }
  if (codeOf(error) === 403) {
    return new OrderlaneError('BROKER_REFUSED', `the broker does not permit this user to declare ${what}: ${message}`, {
      cause: error,
    });
  }
  return error;
}

/** Nothing turns a queue into another, and --declare passive does not help one who has none of the other queues yet. */
function wayOut(what: string, isClassic: boolean): string {
  const name = /^queue '(.*)'$/.exec(what)?.[1];
  if (name === undefined) return 'Use another --queue, or delete it.';
  // Quorum queues refuse these two flags.
  const safely = isClassic ? ' --if-empty --if-unused' : '';
  return (
    'Either use a --queue of another name, publish there, and move what is left with a shovel; or, once it is empty and ' +
    `unused, delete it with: rabbitmqctl delete_queue ${name}${safely} (and -p VHOST when it is not in /). The next start makes it anew.`
  );
}

function plain(value: string | undefined): string {
  return value === undefined || value === 'none'
    ? 'absent'
    : value.replace(/^the value /, '').replace(/ of type '\w+'$/, '');
}

/** Whether something is there with other arguments than ours. */
export function isMismatch(error: unknown): boolean {
  return error instanceof OrderlaneError && codeOf(error.cause) === 406;
}
