import { randomUUID } from 'node:crypto';
import type { ChannelModel } from 'amqplib';
import { messageOf } from '../../errors.ts';
import { call, declareExchange, declareQueue, isMismatch } from './declare.ts';
import { refusalToAnnounce } from './outcomes-exchange.ts';
import { codeOf } from './own-channel.ts';
import { names, type QueueDeclaration, topologyOf } from './topology.ts';
import { within } from './within.ts';

/** How a queue or exchange is: as needed, absent, with other arguments, or not to be told. */
export type Standing =
  | { readonly kind: 'right'; readonly messages?: number; readonly consumers?: number }
  | { readonly kind: 'missing' }
  | { readonly kind: 'refused'; readonly resource: string }
  | { readonly kind: 'different' | 'unknown'; readonly why: string };

export interface Surveyed {
  /** `queue 'orders'` or `exchange 'orders.retry'`. */
  readonly name: string;
  readonly standing: Standing;
}

export interface Refusal {
  readonly action: 'declare' | 'consume' | 'publish';
  /** To what access is refused, such as `queue 'orders'`. */
  readonly resource: string;
}

export interface Survey {
  readonly source: Surveyed;
  readonly others: readonly Surveyed[];
  /** Messages in `<queue>.dead` and `<queue>.ambiguous`; undefined for a queue that is not there. */
  readonly dead: number | undefined;
  readonly ambiguous: number | undefined;
  /** What the broker does not permit this user; also of queues that are missing. */
  readonly notPermitted: readonly Refusal[];
  /** Why nothing can be published now, such as an alarm. */
  readonly blocked: string | undefined;
}

const PUBLISH_LIMIT_MS = 5_000;

/**
 * Looks at what there is of a queue's topology and at what this user may do, and makes, changes and takes nothing. A
 * queue that is there is declared as we need it, which the broker confirms or refuses. What is not to be done is
 * asked for with an argument that no broker accepts: permissions are checked before arguments are.
 */
export async function survey(
  connection: ChannelModel,
  queue: string,
  version: string,
  outcomes: boolean,
): Promise<Survey> {
  const { source, others, exchange } = topologyOf(queue, version);
  const notPermitted: Refusal[] = [];
  const add = (action: Refusal['action'], resource: string | undefined): void => {
    if (resource !== undefined) notPermitted.push({ action, resource });
  };
  const look = async (declaration: QueueDeclaration): Promise<Surveyed> => {
    const name = `queue '${declaration.name}'`;
    const standing = await standingOf(connection, declaration);
    if (standing.kind === 'missing') add('declare', await refusalToDeclare(connection, declaration));
    if (standing.kind === 'refused') add('declare', standing.resource);
    return { name, standing };
  };
  const first = await look(source);
  const rest: Surveyed[] = [];
  for (const each of others) rest.push(await look(each));
  const lookAtExchange = async (name: string, type: 'direct' | 'topic'): Promise<Standing> => {
    const standing = await exchangeStanding(connection, name, type);
    if (standing.kind === 'refused') add('declare', standing.resource);
    rest.push({ name: `exchange '${name}'`, standing });
    return standing;
  };
  await lookAtExchange(exchange, 'direct');
  const events = outcomes ? await lookAtExchange(names.outcomes(queue), 'topic') : undefined;
  add('consume', await refusalToConsume(connection, queue));
  const publishing = await tryToPublish(connection);
  add('publish', publishing.refused);
  // To one that is missing, everybody may publish as far as can be seen.
  if (events?.kind === 'right') add('publish', refusalIn(await refusalToAnnounce(connection, names.outcomes(queue))));
  const messagesIn = (name: string): number | undefined => {
    const standing = rest.find((each) => each.name === `queue '${name}'`)?.standing;
    return standing?.kind === 'right' ? standing.messages : undefined;
  };
  return {
    source: first,
    others: rest,
    dead: messagesIn(names.dead(queue)),
    ambiguous: messagesIn(names.ambiguous(queue)),
    notPermitted,
    blocked: publishing.blocked,
  };
}

async function standingOf(connection: ChannelModel, declaration: QueueDeclaration): Promise<Standing> {
  const { name } = declaration;
  try {
    const counts = await call(connection, `queue '${name}'`, (channel) => channel.checkQueue(name));
    await declareQueue(connection, declaration);
    return { kind: 'right', messages: counts.messageCount, consumers: counts.consumerCount };
  } catch (error) {
    return standingAfter(error);
  }
}

async function exchangeStanding(
  connection: ChannelModel,
  exchange: string,
  type: 'direct' | 'topic',
): Promise<Standing> {
  try {
    await call(connection, `exchange '${exchange}'`, (channel) => channel.checkExchange(exchange));
    await declareExchange(connection, exchange, type);
    return { kind: 'right' };
  } catch (error) {
    return standingAfter(error);
  }
}

function standingAfter(error: unknown): Standing {
  const why = messageOf(error);
  if (codeOf(error) === 404) return { kind: 'missing' };
  if (isMismatch(error)) return { kind: 'different', why };
  const resource = refusalIn(error);
  return resource === undefined ? { kind: 'unknown', why } : { kind: 'refused', resource };
}

/** No broker makes a queue whose messages live for less than no time. */
async function refusalToDeclare(
  connection: ChannelModel,
  { name, arguments: given }: QueueDeclaration,
): Promise<string | undefined> {
  return await refusalOf(connection, `queue '${name}'`, async (channel) => {
    await channel.assertQueue(name, { durable: true, arguments: { ...given, 'x-message-ttl': -1 } });
  });
}

/** No broker lets anybody consume with a priority that is no number. */
async function refusalToConsume(connection: ChannelModel, queue: string): Promise<string | undefined> {
  return await refusalOf(connection, `queue '${queue}'`, async (channel) => {
    await channel.consume(queue, () => undefined, { arguments: { 'x-priority': 'none' } });
  });
}

async function refusalOf(
  connection: ChannelModel,
  what: string,
  work: Parameters<typeof call<void>>[2],
): Promise<string | undefined> {
  try {
    await call(connection, what, work);
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal !== undefined) return refusal;
    if (codeOf(error) !== 406 && codeOf(error) !== 404) throw error;
  }
  return undefined;
}

/** What a 403 is about, here or in what lies below. */
function refusalIn(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (codeOf(at) === 403) return /access to (\w+ '[^']*')/.exec(messageOf(at))?.[1] ?? messageOf(at);
  }
  return undefined;
}

interface Published {
  readonly blocked: string | undefined;
  readonly refused?: string;
}

/** A message that no queue takes, and that the broker returns: publishing is permitted, and not blocked. */
async function tryToPublish(connection: ChannelModel): Promise<Published> {
  let blocked: string | undefined;
  connection.once('blocked', (why: unknown) => {
    blocked = String(why);
  });
  const key = `orderlane.doctor.${randomUUID()}`;
  const channel = await connection.createConfirmChannel();
  const answered = new Promise<void>((resolve, reject) => {
    channel.on('error', reject);
    connection.once('blocked', () => resolve());
    channel.publish('', key, Buffer.alloc(0), { mandatory: true }, (error: unknown) => {
      if (error == null) resolve();
    });
  });
  try {
    await within(PUBLISH_LIMIT_MS, 'a message that was to be returned', answered);
    if (blocked === undefined) await channel.close();
    return { blocked };
  } catch (error) {
    const refusal = refusalIn(error);
    return refusal === undefined ? { blocked: blocked ?? messageOf(error) } : { blocked, refused: refusal };
  }
}
