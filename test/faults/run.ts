import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { type BrokerOptions, startBroker } from '../../src/sim/broker.ts';
import { MATRIX } from './matrix.ts';
import { playRound, type Round } from './play.ts';
import { complaintsOf, hasFailed, type RowResult, tableOf } from './report.ts';
import type { Row } from './row.ts';

const USAGE = `Usage: make test-faults [ROW=name,name] [SEED=1] [ROUNDS=1] [FULL=1] [BROKER=3|4|both]

Plays every fault of the matrix against real orderlane processes and a private RabbitMQ, judges each history, and prints a
table. Exits with 1 when a row fails, saying how to repeat it.

  ROW     rows to play, by name, separated by commas: all without it
  SEED    of the first round; every further round has the next one
  ROUNDS  how often each row is played
  FULL    the sizes that the promises name, such as 20 kills over 10,000 orders
  BROKER  3 is the system's RabbitMQ, 4 one from a Debian 13 root (needs root; made when it is missing); 3 without it
  LIST    says the rows' names and ends
`;

interface Plan {
  readonly rows: readonly Row[];
  readonly seed: number;
  readonly rounds: number;
  readonly full: boolean;
  /** Major versions. */
  readonly brokers: readonly string[];
}

const INSTALL_4 = fileURLToPath(new URL('../../scripts/install-broker-4.sh', import.meta.url));
const BROKERS: Readonly<Record<string, readonly string[]>> = { '3': ['3'], '4': ['4'], both: ['3', '4'] };

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      row: { type: 'string', default: '' },
      seed: { type: 'string', default: '' },
      rounds: { type: 'string', default: '' },
      full: { type: 'string', default: '' },
      broker: { type: 'string', default: '' },
      list: { type: 'string', default: '' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (values.list !== '') {
    for (const { name, fault } of MATRIX) process.stdout.write(`${name.padEnd(24)}${fault}\n`);
    return 0;
  }
  const plan = planOf(values);
  if (typeof plan === 'string') {
    process.stderr.write(`test-faults: ${plan}\n`);
    return 2;
  }
  const results: RowResult[] = [];
  try {
    for (const major of plan.brokers) await playOn(major === '4' ? { root: await root4() } : {}, plan, results);
  } catch (error) {
    process.stderr.write(`test-faults: ${messageOf(error)}\n`);
    return 1;
  } finally {
    if (results.length > 0) process.stdout.write(`\n${tableOf(results)}\n`);
  }
  return results.some(hasFailed) ? 1 : 0;
}

/** Where RabbitMQ 4 is; made when it is not there yet. */
async function root4(): Promise<string> {
  const child = spawn(INSTALL_4, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [path, [code]] = await Promise.all([text(child.stdout), once(child, 'close') as Promise<[number | null]>]);
  if (code !== 0) throw new Error(`scripts/install-broker-4.sh ended with ${code}`);
  return path.trim();
}

function planOf(values: Readonly<Record<'row' | 'seed' | 'rounds' | 'full' | 'broker', string>>): Plan | string {
  const names = values.row.split(',').filter((name) => name !== '');
  const unknown = names.filter((name) => !MATRIX.some((row) => row.name === name));
  if (unknown.length > 0) {
    return `ROW: expected ${MATRIX.map(({ name }) => name).join(', ')}; got ${unknown.join(', ')}`;
  }
  const [seed, rounds] = [Number(values.seed || 1), Number(values.rounds || 1)];
  if (!Number.isSafeInteger(seed)) return `SEED: expected a whole number, got ${values.seed}`;
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    return `ROUNDS: expected a whole number from 1, got ${values.rounds}`;
  const rows = names.length === 0 ? MATRIX : MATRIX.filter(({ name }) => names.includes(name));
  const brokers = BROKERS[values.broker || '3'];
  if (brokers === undefined) return `BROKER: expected 3, 4 or both, got ${values.broker}`;
  return { rows, seed, rounds, brokers, full: values.full !== '' && values.full !== '0' };
}

/** Plays all of it on one kind of broker; what has been played is in `results` when it throws, too. */
async function playOn(options: BrokerOptions, { rows, seed, rounds, full }: Plan, results: RowResult[]): Promise<void> {
  let broker = await startBroker(options);
  try {
    for (const row of rows) {
      const { version } = broker;
      const played: Round[] = [];
      results.push({ row, broker: version, rounds: played });
      for (let n = 0; n < rounds; n++) {
        const round = await playRound(row, { broker, seed: seed + n, full });
        played.push(round);
        const failed = round.problems.length > 0;
        const verdict = `${failed ? 'FAILED' : 'ok    '} ${row.name} on ${version}, seed ${round.seed}`;
        process.stdout.write(`${verdict}, ${round.seconds.toFixed(1)} s\n`);
        for (const line of round.played?.shown ?? []) process.stdout.write(`       ${line}\n`);
        if (!failed) continue;
        process.stdout.write(`${complaintsOf({ row, broker: version, rounds: [round] }, full)}\n`);
        // What a round that failed has left on its broker is nobody else's fault.
        await broker.stop();
        broker = await startBroker(options);
      }
    }
  } finally {
    await broker.stop();
  }
}
