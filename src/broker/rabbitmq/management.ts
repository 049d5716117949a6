import { messageOf } from '../../errors.ts';
import { names, type Topology } from './topology.ts';

/** What AMQP cannot show, and is therefore not checked without --management-url. */
export const UNSEEN = "policies on its queues, the binding through which retries return, and the broker's alarms";

export interface Findings {
  /** What loses orders, each with its remedy. */
  readonly unsafe: readonly string[];
  /** What is to be known and loses nothing. */
  readonly notes: readonly string[];
}

const CALL_LIMIT_MS = 5_000;
const KNOWN_LIMIT_MS = 15_000;
const KNOWN_EVERY_MS = 500;
/** What a policy may not do to a queue, and what it would do. A rung's own time to live is its delay. */
const LOSSES: Readonly<Record<string, string>> = {
  'message-ttl': 'removes messages that wait longer',
  expires: 'deletes the queue with all that is in it when nobody uses it',
  'max-length': 'removes messages when there are more',
  'max-length-bytes': 'removes messages when they are larger together',
  'delivery-limit':
    'removes orders that come back more often, which those of a lost connection do though nobody tried them',
};
/** Harmless where publishes are refused and not messages removed. */
const LENGTHS = new Set(['max-length', 'max-length-bytes']);

interface QueueState {
  readonly policy?: string | null;
  readonly operator_policy?: string | null;
  readonly arguments?: Readonly<Record<string, unknown>>;
  readonly message_stats?: {
    readonly publish_details?: { readonly rate: number };
    readonly deliver_get_details?: { readonly rate: number };
  };
  readonly effective_policy_definition?: Readonly<Record<string, unknown>> | readonly [];
}

/**
 * Looks through RabbitMQ's management API at what could lose orders and cannot be seen over AMQP. Never throws: what could not
 * be looked at is a note.
 *
 * @param url of the management API; without user and password in it, the broker's are used
 * @param broker AMQP URL, for the virtual host
 */
export async function inspect(url: string, broker: string, queue: string, topology: Topology): Promise<Findings> {
  const api = new Api(url, broker);
  const unsafe: string[] = [];
  const notes: string[] = [];
  try {
    const losses = new Map<string, Loss & { readonly queues: string[] }>();
    for (const { name } of [topology.source, ...topology.others]) {
      for (const loss of lossesOf(await stateOf(name, api))) {
        const known = losses.get(loss.what);
        if (known === undefined) losses.set(loss.what, { ...loss, queues: [name] });
        else known.queues.push(name);
      }
    }
    unsafe.push(...[...losses.values()].map(lossText));
    const returns = names.returns(queue);
    const path = `bindings/${api.vhost}/e/${encodeURIComponent(returns)}/q/${encodeURIComponent(queue)}`;
    const bindings = await api.get<readonly { readonly routing_key: string }[]>(path);
    if (!bindings.some(({ routing_key: key }) => key === queue)) {
      unsafe.push(
        `exchange '${returns}' is not bound to queue '${queue}' with the key '${queue}': retries would not come back. Bind it, or run once with --declare create`,
      );
    }
    notes.push(...alarmsOf(await api.get<readonly Node[]>('nodes')));
  } catch (error) {
    notes.push(`could not be checked at ${api.shown}: ${UNSEEN}: ${messageOf(causeOf(error))}`);
  }
  return { unsafe, notes };
}

/** What a queue sees, in messages a second; undefined where the API does not tell (yet). */
export interface Load {
  readonly publishedPerSecond: number | undefined;
  readonly deliveredPerSecond: number | undefined;
}

/** How fast a queue is published to and taken from. Rejects when the API does not answer. */
export async function loadOf(url: string, broker: string, queue: string): Promise<Load> {
  const api = new Api(url, broker);
  const { message_stats: stats } = await api.get<QueueState>(`queues/${api.vhost}/${encodeURIComponent(queue)}`);
  return {
    publishedPerSecond: stats?.publish_details?.rate,
    deliveredPerSecond: stats?.deliver_get_details?.rate,
  };
}

/** Of a queue that was just made the API knows nothing for up to ten seconds. */
async function stateOf(queue: string, api: Api): Promise<QueueState> {
  const giveUpAt = performance.now() + KNOWN_LIMIT_MS;
  for (;;) {
    const state = await api.get<QueueState>(`queues/${api.vhost}/${encodeURIComponent(queue)}`);
    if (state.effective_policy_definition !== undefined) return state;
    if (performance.now() > giveUpAt) throw new Error(`it does not tell which policies queue '${queue}' has`);
    await new Promise((resolve) => setTimeout(resolve, KNOWN_EVERY_MS));
  }
}

interface Loss {
  readonly what: string;
  readonly why: string;
}

function lossesOf(state: QueueState): Loss[] {
  const { effective_policy_definition: policy = {}, policy: own, operator_policy: operators } = state;
  if (Array.isArray(policy)) return []; // how the API writes an empty one
  const rules = policy as Readonly<Record<string, unknown>>;
  const overflow = state.arguments?.['x-overflow'] ?? rules['overflow'];
  return Object.entries(LOSSES)
    .filter(([key]) => rules[key] !== undefined)
    .filter(([key]) => !(LENGTHS.has(key) && overflow === 'reject-publish'))
    .filter(([key]) => !(key === 'delivery-limit' && Number(rules[key]) < 0))
    .map(([key, why]) => {
      const by = [own, operators].filter((each) => each != null && each !== '').map((each) => `'${each}'`);
      return { what: `policy ${by.join(' or ')} sets ${key} to ${String(rules[key])}`, why };
    });
}

/** One policy mostly matches many of our queues. */
function lossText({ what, why, queues: [first, ...more] }: Loss & { readonly queues: readonly string[] }): string {
  const where = more.length === 0 ? `queue '${first}'` : `queue '${first}' and ${more.length} more`;
  return `${what} on ${where}, which ${why}. Take it out of the policy, or let the policy not match what belongs to orderlane`;
}

/** fetch says no more than that it failed; why is below that. */
function causeOf(error: unknown): unknown {
  return error instanceof TypeError && error.cause !== undefined ? error.cause : error;
}

interface Node {
  readonly name: string;
  readonly mem_alarm?: boolean;
  readonly disk_free_alarm?: boolean;
}

function alarmsOf(nodes: readonly Node[]): string[] {
  return nodes.flatMap(({ name, mem_alarm: memory, disk_free_alarm: disk }) => [
    ...(memory === true ? [`node ${name} has a memory alarm: nothing can be published, retries wait`] : []),
    ...(disk === true ? [`node ${name} has a disk alarm: nothing can be published, retries wait`] : []),
  ]);
}

/** RabbitMQ's HTTP API, to read. */
class Api {
  /** As a part of a path. */
  readonly vhost: string;
  /** Without a password. */
  readonly shown: string;
  readonly #base: string;
  readonly #authorization: string;

  constructor(url: string, broker: string) {
    const [parsed, amqp] = [new URL(url), new URL(broker)];
    const { username, password } = parsed.username === '' ? amqp : parsed;
    const [user, secret] = username === '' ? ['guest', 'guest'] : [username, password].map(decodeURIComponent);
    this.#authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
    parsed.username = '';
    parsed.password = '';
    this.shown = parsed.href;
    this.#base = `${parsed.href.replace(/\/+$/, '')}/api`;
    const path = amqp.pathname.slice(1);
    this.vhost = encodeURIComponent(path === '' ? '/' : decodeURIComponent(path));
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.#base}/${path}`, {
      headers: { authorization: this.#authorization },
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
    return (await response.json()) as T;
  }
}
