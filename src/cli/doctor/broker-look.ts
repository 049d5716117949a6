import type { ChannelModel } from 'amqplib';
import { versionOf, versionProblem } from '../../broker/rabbitmq/declare.ts';
import { Link, redacted } from '../../broker/rabbitmq/link.ts';
import { inspect, type Load, loadOf, UNSEEN } from '../../broker/rabbitmq/management.ts';
import { type Survey, survey } from '../../broker/rabbitmq/survey.ts';
import { names, topologyOf } from '../../broker/rabbitmq/topology.ts';
import { messageOf, OrderlaneError } from '../../errors.ts';
import type { Options } from '../../options.ts';
import { addressesOf } from '../publish-link.ts';
import {
  addressChecks,
  type Answer,
  blockedCheck,
  managementChecks,
  permissionsCheck,
  permitCommand,
  topologyChecks,
  versionCheck,
} from './broker-checks.ts';
import { fail, warn } from './finding.ts';
import type { Tell } from './look.ts';

/** How long one address may take, whatever --connect-wait says: somebody waits for the answer. */
const CONNECT_MS = 3_000;

export interface BrokerLook {
  readonly survey: Survey;
  /** Undefined when nobody could tell. */
  readonly load: Load | undefined;
}

/** Connects to every address, and looks at the first that answers. Undefined when none does, or it cannot be looked at. */
export async function lookAtBroker(options: Options, tell: Tell): Promise<BrokerLook | undefined> {
  const visits = await Promise.all(options.broker.map((url) => visit(url, options)));
  try {
    tell(addressChecks(visits));
    const reached = visits.find(({ connection }) => connection !== undefined);
    if (reached?.connection === undefined || reached.version === undefined) return undefined;
    const { connection, version } = reached;
    tell(versionCheck(version, versionProblem(version)));
    let surveyed: Survey;
    try {
      surveyed = await survey(connection, options.queue, version, options.outcomes !== 'off');
    } catch (error) {
      tell(
        fail(
          'queues',
          `could not be looked at: ${messageOf(error)}`,
          'run it again; the broker did not answer as expected',
        ),
      );
      return undefined;
    }
    tell(topologyChecks(surveyed, options.declare));
    tell(permissionsCheck(surveyed, permitCommand(reached.url, options.queue)));
    tell(blockedCheck(surveyed));
    return { survey: surveyed, load: await lookAtManagement(options, surveyed, version, tell) };
  } finally {
    await Promise.all(visits.map(({ link }) => link.stop()));
  }
}

interface Visit extends Answer {
  readonly url: string;
  readonly link: Link;
  readonly connection?: ChannelModel;
}

async function visit(url: string, options: Options): Promise<Visit> {
  const address = redacted(url);
  const nothing = (): void => undefined;
  let connection: ChannelModel | undefined;
  const link = new Link(
    'doctor',
    { ...addressesOf(options), urls: [url] },
    {
      open: async (opened) => {
        connection = opened;
      },
      lost: nothing,
      warn: nothing,
      info: nothing,
    },
  );
  try {
    await link.start(Math.min(CONNECT_MS, options.connectWaitMs));
    const opened = connection as ChannelModel | undefined;
    return opened === undefined
      ? { url, address, link }
      : { url, address, link, connection: opened, version: versionOf(opened) };
  } catch (error) {
    const isFinal = error instanceof OrderlaneError && error.code === 'BROKER_REFUSED';
    // Its advice is for one who starts work.
    return {
      url,
      address,
      link,
      error: messageOf(error).replace(/\. Check that RabbitMQ runs there.*$/s, ''),
      isFinal,
    };
  }
}

async function lookAtManagement(
  options: Options,
  { source, others }: Survey,
  version: string,
  tell: Tell,
): Promise<Load | undefined> {
  const { managementUrl, broker, queue, declare: mode } = options;
  if (managementUrl === undefined) {
    tell(managementChecks(undefined, mode, UNSEEN));
    return undefined;
  }
  // The exchange of the outcome events has no policy that could lose an order.
  const events = `exchange '${names.outcomes(queue)}'`;
  if ([source, ...others].some(({ name, standing }) => standing.kind === 'missing' && name !== events)) {
    tell(warn('policies', 'not checked: queues are missing', 'run this again when they are there'));
    return undefined;
  }
  const address = broker[0] as string;
  tell(managementChecks(await inspect(managementUrl, address, queue, topologyOf(queue, version)), mode, UNSEEN));
  return await loadOf(managementUrl, address, queue).catch(() => undefined);
}
