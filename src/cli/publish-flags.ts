import type { Argv } from 'yargs';
import { OrderlaneError } from '../errors.ts';
import type { Options } from '../options.ts';
import { declareShared, readSettings } from './shared-settings.ts';

type Flags = Readonly<Record<string, unknown>>;

/** Settings of `work` that mean the same here, and what else to say of them. */
const SHARED = {
  merchantKey: "JSON pointer to the merchant ID in a line's order, for the header merchant_id",
  orderIdKey: "JSON pointer to the order ID in a line's order, for the header order_id; without one, the message ID",
  broker: undefined,
  brokerCa: undefined,
  brokerCert: undefined,
  brokerKey: undefined,
  queue: 'Queue to publish to',
  declare: 'create makes the queue as work would, if it is missing; passive makes none',
  connectWaitMs: 'How long to try the broker, at start and whenever it is lost',
} as const;

type Shared = keyof typeof SHARED;
const SHARED_KEYS = Object.keys(SHARED) as Shared[];

/** What to publish, and what to tell of it. */
export interface Plan {
  /** NDJSON to read, `-` for standard input. */
  readonly file: string;
  /** How many orders to make up instead. */
  readonly generate: number | undefined;
  readonly merchants: number;
  /** The exponent of the merchants' shares. */
  readonly zipf: number;
  readonly seed: number;
  /** What stands in message and order IDs, so that they can be told before; undefined for something random. */
  readonly ids: string | undefined;
  /** Orders a second; undefined for as fast as it goes. */
  readonly rate: number | undefined;
  readonly journal: string | undefined;
  readonly json: boolean;
}

export function declareFlags(yargs: Argv): Argv {
  yargs.parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': true, 'parse-numbers': false });
  yargs.usage('Usage: $0 publish [--file FILE | --generate COUNT] [options]\n\nPuts orders on the queue.');
  const value = (name: string, group: string, describe: string): unknown =>
    yargs.option(name, { describe, group: `${group}:`, requiresArg: true });
  value('file', 'Orders', 'NDJSON: one order a line, published byte for byte; - or nothing for standard input');
  value('generate', 'Orders', 'How many orders to make up instead');
  value('merchants', 'Orders', 'With --generate: how many merchants they are for, m-1 the busiest (default: 1000)');
  value('zipf', 'Orders', "With --generate: Zipf's exponent of the merchants' shares; 0 for equal ones (default: 1)");
  value('seed', 'Orders', 'With --generate or --rate: equal seeds draw equal orders and gaps (default: 1)');
  value(
    'ids',
    'Orders',
    'With --generate: what IDs have in them, as in msg-ID-1; used twice, they are copies (default: random)',
  );
  value('rate', 'Orders', 'Orders a second: a Poisson process, fixed in advance (default: as fast as it goes)');
  declareShared(yargs, SHARED, (key) => (key === 'merchantKey' || key === 'orderIdKey' ? 'Orders' : 'Broker'));
  value('journal', 'Report', 'FILE, overwritten: a line of JSON for each message that the broker confirmed');
  return yargs
    .option('json', { describe: 'Print the report as one JSON object', group: 'Report:', type: 'boolean' })
    .group(['help', 'version'], 'Report:')
    .example('$0 publish --file orders.ndjson', '')
    .example('$0 publish --generate 10000 --rate 500 --merchants 1000 --zipf 1 --seed 1', '')
    .epilogue(
      'Every message is persistent, has a message ID of its own, and counts when the broker has confirmed it. A bad line ends ' +
        'it. When the connection is lost, what has no confirm is published again with the same message ID: that can make a ' +
        'second copy.\n\n' +
        'What work has too can also come from the environment, as ORDERLANE_BROKER. The first SIGTERM or SIGINT ends it and ' +
        'waits for confirms, the second ends it at once.\n',
    );
}

/** The settings of `work` that count here. */
export function readShared(flags: Flags): Pick<Options, Shared> {
  return readSettings(flags, SHARED_KEYS);
}

export function readPlan(flags: Flags): Plan {
  const text = (name: string): string | undefined => {
    const last: unknown = [flags[name]].flat().at(-1);
    return typeof last === 'string' ? last : undefined;
  };
  const number = (name: string, expected: string, form: RegExp, min: number, max: number): number | undefined => {
    const written = text(name);
    if (written === undefined) return undefined;
    const value = Number(written);
    if (form.test(written) && value >= min && value <= max) return value;
    throw new OrderlaneError('USAGE', `--${name}: expected ${expected}; got ${JSON.stringify(written)}`);
  };
  const ids = text('ids');
  if (ids !== undefined && !/^[\w.-]{1,64}$/.test(ids)) {
    throw new OrderlaneError(
      'USAGE',
      `--ids: expected 1 to 64 letters, digits, dots or dashes; got ${JSON.stringify(ids)}`,
    );
  }
  const whole = /^-?\d{1,16}$/;
  const decimal = /^\d{1,16}(\.\d{1,16})?$/;
  const plan: Plan = {
    file: text('file') ?? '-',
    generate: number('generate', 'a whole number from 1 to 1000000000, such as 10000', whole, 1, 1e9),
    merchants: number('merchants', 'a whole number from 1 to 1000000, such as 1000', whole, 1, 1e6) ?? 1000,
    zipf: number('zipf', 'a number from 0 to 10, such as 1 or 0.8', decimal, 0, 10) ?? 1,
    seed: number('seed', 'a whole number, such as 1', whole, -(2 ** 52), 2 ** 52) ?? 1,
    ids,
    rate: number('rate', 'a number from 0.001 to 1000000, such as 500', decimal, 0.001, 1e6),
    journal: text('journal'),
    json: flags['json'] === true,
  };
  const given = (names: readonly string[]): string | undefined => names.find((name) => flags[name] !== undefined);
  if (plan.generate === undefined) {
    const idle = given(['merchants', 'zipf', 'ids']);
    if (idle !== undefined) throw new OrderlaneError('USAGE', `--${idle}: expected --generate COUNT with it; got none`);
    if (plan.rate === undefined && given(['seed']) !== undefined) {
      throw new OrderlaneError('USAGE', '--seed: expected --generate COUNT or --rate with it; got neither');
    }
  } else {
    const idle = given(['file', 'merchant-key', 'order-id-key']);
    if (idle !== undefined)
      throw new OrderlaneError('USAGE', `--${idle} and --generate: expected one of the two; got both`);
  }
  return plan;
}
