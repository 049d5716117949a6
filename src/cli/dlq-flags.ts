import type { Argv } from 'yargs';
import type { Filter } from '../admin/dead-letters.ts';
import { parseDuration, parseRate } from '../duration.ts';
import { OrderlaneError } from '../errors.ts';
import type { Options } from '../options.ts';
import { didYouMean, nearest } from '../spelling.ts';
import { declareShared, readSettings } from './shared-settings.ts';

type Flags = Readonly<Record<string, unknown>>;

const ACTIONS = ['ls', 'show', 'replay', 'drop'] as const;
export type Action = (typeof ACTIONS)[number];

const SHARED = {
  broker: undefined,
  brokerCa: undefined,
  brokerCert: undefined,
  brokerKey: undefined,
  queue: 'Queue that work consumes; dead letters are in QUEUE.dead and QUEUE.ambiguous',
  connectWaitMs: 'How long to try the broker, at start and whenever it is lost',
  deadlineMs: 'replay: a replayed order is never sent later than this, from its replay',
} as const;

export type DlqOptions = Pick<Options, keyof typeof SHARED>;

/** What is to be done, to which dead letters. */
export interface Plan {
  readonly action: Action;
  readonly from: 'dead' | 'ambiguous';
  readonly filter: Filter;
  /** How many at most; of `ls`, how many are listed. */
  readonly limit: number | undefined;
  readonly execute: boolean;
  readonly ratePerSecond: number;
  readonly why: string;
  readonly full: boolean;
  readonly json: boolean;
}

const DEFAULT_RATE = 50;
const DEFAULT_LISTED = 10;

export function declareFlags(yargs: Argv): Argv {
  yargs.parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': true, 'parse-numbers': false });
  yargs.usage(
    'Usage: $0 dlq (ls | show | replay | drop) [options]\n\n' +
      'ls      counts dead letters by reason and merchant, and lists the oldest\n' +
      'show    prints dead letters in full: headers, times, reason, body\n' +
      'replay  sends dead letters back to the queue, to be delivered again\n' +
      'drop    deletes dead letters for good\n\n' +
      'Orders that could not be delivered wait in QUEUE.dead; those that may have been sent, and that must not be sent ' +
      'twice, in QUEUE.ambiguous. replay and drop only say what they would do, until --execute.',
  );
  yargs.positional('action', { type: 'string', hidden: true });
  const value = (name: string, group: string, describe: string): unknown =>
    yargs.option(name, { describe, group: `${group}:`, requiresArg: true });
  const flag = (name: string, group: string, describe: string): unknown =>
    yargs.option(name, { describe, group: `${group}:`, type: 'boolean' });
  value('from', 'Which', 'dead or ambiguous (default: dead)');
  value('merchant', 'Which', 'Only those of this merchant ID; repeat for several');
  value(
    'reason',
    'Which',
    'Only those with this reason, such as rejected or expired (ls shows them); repeat for several',
  );
  value('order', 'Which', 'Only those with this order ID; repeat for several');
  value('older-than', 'Which', 'Only those that died at least this long ago, such as 2h');
  value('newer-than', 'Which', 'Only those that died less than this long ago, such as 30m');
  value('limit', 'Which', 'At most so many, oldest first (default: show 10, replay and drop all; ls lists 10)');
  flag('all', 'Which', 'replay, drop: really all of them, when nothing above says which');
  flag('execute', 'What', 'replay, drop: do it; without it nothing is changed');
  value('rate', 'What', `replay: at most so many, such as 100/s or 30/m (default: ${DEFAULT_RATE}/s)`);
  value('why', 'What', 'replay: a note for the header orderlane_replayed_why, such as "INC-17, POS is back"');
  flag('full', 'What', 'show: the whole body, however long');
  declareShared(yargs, SHARED, (key) => (key === 'deadlineMs' ? 'What' : 'Broker'));
  return yargs
    .option('json', {
      describe: 'Print JSON: one object; with show, one a line',
      group: 'Report:',
      type: 'boolean',
    })
    .group(['help', 'version'], 'Report:')
    .example('$0 dlq ls', 'what is there, and why')
    .example('$0 dlq show --merchant m-7 --limit 1', 'one of them in full')
    .example('$0 dlq replay --merchant m-7', 'what would be replayed')
    .example('$0 dlq replay --merchant m-7 --rate 100/s --execute', 'replays it')
    .example('$0 dlq show --full --json --limit 999999 > dead.ndjson', 'a copy, before a drop')
    .epilogue(EXPLANATION);
}

const EXPLANATION =
  'What a replay does. The message goes back to QUEUE byte for byte, with the same idempotency key: a merchant that still ' +
  'remembers the key does not act twice. Attempts begin anew; the deadline becomes --deadline from now. Headers say when, from ' +
  'where and why (orderlane_replayed_at, _from, _why). A dead letter is deleted only after the broker has confirmed its copy. What ' +
  'dies again while a replay runs is left for the next one.\n\n' +
  'Interrupted, by Ctrl-C, kill -9 or a lost broker, nothing is lost: run it again to go on. Ctrl-C waits for open confirms, and ends it with 1. ' +
  'kill -9 leaves what was under way both in QUEUE and dead: a few messages at 100/s, a few hundred at 3000/s. Replayed again, they make a ' +
  'second copy with the same identity and hop. A worker that has had the first deletes the second without sending it: it ' +
  'remembers at least the last 65,536 retried or replayed copies. A worker that was restarted in between, or another process on the ' +
  'same queue, sends it again, with the same key.\n\n' +
  'How the queue stays as it is. Every command goes through the whole queue, holding all of it unacknowledged, and gives it back ' +
  'in its order; workers can add to it meanwhile. A command that is stopped before it has seen everything may leave what it saw ' +
  'behind the rest; after kill -9 or a lost broker, runs of messages may change places. None is lost. For others the queue looks ' +
  'empty meanwhile, and only one dlq at a time works on it.\n\n' +
  'What it costs. 100,000 messages of 1 KB take about 6 s, and 100 to 250 MB of the broker for as long: one that is near its memory limit stops its publishers. Larger ones pass at 16 MiB/s, in ' +
  'pages of 2 MiB (more for a queue above 2 GiB). A replay holds those whose turn comes within 5 minutes, 64 MiB and 10,000 at most, and ' +
  'then goes through the queue again. Each time counts as a return (x-delivery-count): dlq refuses a queue with a delivery ' +
  'limit, which drops messages. A limit that a policy sets cannot be seen from here: set none.\n\n' +
  'What work has too can also come from the environment, as ORDERLANE_BROKER.\n';

export function readOptions(flags: Flags): DlqOptions {
  return readSettings(flags, Object.keys(SHARED) as (keyof typeof SHARED)[]);
}

export function readPlan(flags: Flags): Plan {
  const texts = (name: string): string[] | undefined => {
    const given = [flags[name] ?? []].flat().map(String);
    return given.length === 0 ? undefined : given;
  };
  const read = <T>(name: string, expected: string, parse: (text: string) => T | undefined): T | undefined => {
    const written = texts(name)?.at(-1);
    if (written === undefined) return undefined;
    const value = parse(written);
    if (value !== undefined) return value;
    throw new OrderlaneError('USAGE', `--${name}: expected ${expected}; got ${JSON.stringify(written)}`);
  };
  const action = actionOf(flags['action']);
  const age = 'a duration such as 30m, 2h or 7d';
  const filter: Filter = Object.fromEntries(
    Object.entries({
      merchants: setOf(texts('merchant')),
      reasons: setOf(texts('reason')),
      orders: setOf(texts('order')),
      olderThanMs: read('older-than', age, parseDuration),
      newerThanMs: read('newer-than', age, parseDuration),
    }).filter(([, wanted]) => wanted !== undefined),
  );
  const limit = read('limit', 'a whole number from 0 to 1000000000, such as 100', (text) =>
    /^\d{1,10}$/.test(text) && Number(text) <= 1e9 ? Number(text) : undefined,
  );
  const changes = action === 'replay' || action === 'drop';
  const plan: Plan = {
    action,
    from:
      read('from', 'dead or ambiguous', (text) => (text === 'dead' || text === 'ambiguous' ? text : undefined)) ??
      'dead',
    filter,
    limit: limit ?? (changes ? undefined : DEFAULT_LISTED),
    execute: flags['execute'] === true,
    ratePerSecond:
      read('rate', 'a rate above 0 such as 100/s or 30/m', (text) => parseRate(text) ?? parseRate(`${text}/s`)) ??
      DEFAULT_RATE,
    why: texts('why')?.at(-1) ?? 'orderlane dlq replay',
    full: flags['full'] === true,
    json: flags['json'] === true,
  };
  refuseIdle(flags, action);
  if (changes && Object.keys(filter).length === 0 && flags['all'] !== true) {
    throw new OrderlaneError(
      'USAGE',
      `dlq ${action}: expected --merchant, --reason, --order, --older-than or --newer-than to say which dead letters, or --all; got none`,
    );
  }
  if (Object.keys(filter).length > 0 && flags['all'] === true) {
    throw new OrderlaneError('USAGE', `--all: expected nothing else that says which dead letters; got both`);
  }
  return plan;
}

/** An option that would mean nothing for this action was meant for something. */
function refuseIdle(flags: Flags, action: Action): void {
  const only: Readonly<Record<string, readonly Action[]>> = {
    execute: ['replay', 'drop'],
    all: ['replay', 'drop'],
    rate: ['replay'],
    why: ['replay'],
    deadline: ['replay'],
    full: ['show'],
  };
  for (const [name, actions] of Object.entries(only)) {
    if (flags[name] === undefined || actions.includes(action)) continue;
    throw new OrderlaneError('USAGE', `--${name}: expected with dlq ${actions.join(' or ')}; got dlq ${action}`);
  }
}

function actionOf(given: unknown): Action {
  const action = ACTIONS.find((each) => each === given);
  if (action !== undefined) return action;
  const got =
    typeof given === 'string' ? `got ${JSON.stringify(given)}.${didYouMean(nearest(given, ACTIONS))}` : 'got none';
  throw new OrderlaneError('USAGE', `dlq: expected ls, show, replay or drop; ${got}`);
}

function setOf(texts: readonly string[] | undefined): ReadonlySet<string> | undefined {
  return texts === undefined ? undefined : new Set(texts);
}
