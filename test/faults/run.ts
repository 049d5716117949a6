import { parseArgs } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { type PrivateBroker, startBroker } from '../../src/sim/broker.ts';
import { MATRIX } from './matrix.ts';
import { playRound, type Round } from './play.ts';
import { complaintsOf, hasFailed, type RowResult, tableOf } from './report.ts';
import type { Row } from './row.ts';

const USAGE = `Usage: make test-faults [ROW=name,name] [SEED=1] [ROUNDS=1] [FULL=1] [BROKER=3]

Plays every fault of the matrix against real orderlane processes and a private RabbitMQ, judges each history, and prints a
table. Exits with 1 when a row fails, saying how to repeat it.

  ROW     rows to play, by name, separated by commas: all without it
  SEED    of the first round; every further round has the next one
  ROUNDS  how often each row is played
  FULL    the sizes that the promises name, such as 20 kills over 10,000 orders: an hour, in place of ten minutes
  LIST    says the rows' names and ends
`;

interface Plan {
  readonly rows: readonly Row[];
  readonly seed: number;
  readonly rounds: number;
  readonly full: boolean;
}

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      row: { type: 'string', default: '' },
      seed: { type: 'string', default: '' },
      rounds: { type: 'string', default: '' },
      full: { type: 'string', default: '' },
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
  const results = await playOn(await startBroker(), plan);
  process.stdout.write(`\n${tableOf(results)}\n`);
  return results.some(hasFailed) ? 1 : 0;
}

function planOf(values: Readonly<Record<'row' | 'seed' | 'rounds' | 'full', string>>): Plan | string {
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
  return { rows, seed, rounds, full: values.full !== '' && values.full !== '0' };
}

async function playOn(first: PrivateBroker, { rows, seed, rounds, full }: Plan): Promise<RowResult[]> {
  const results: RowResult[] = [];
  let broker = first;
  try {
    for (const row of rows) {
      const played: Round[] = [];
      for (let n = 0; n < rounds; n++) {
        const round = await playRound(row, { broker, seed: seed + n, full });
        played.push(round);
        const failed = round.problems.length > 0;
        process.stdout.write(
          `${failed ? 'FAILED' : 'ok    '} ${row.name} on ${broker.version}, seed ${round.seed}, ${round.seconds.toFixed(1)} s\n`,
        );
        if (!failed) continue;
        process.stdout.write(`${complaintsOf({ row, broker: broker.version, rounds: [round] }, full)}\n`);
        // What a round that failed has left on its broker is nobody else's fault.
        await broker.stop();
        broker = await startBroker();
      }
      results.push({ row, broker: broker.version, rounds: played });
    }
  } catch (error) {
    process.stderr.write(`test-faults: ${messageOf(error)}\n`);
    process.exitCode = 1;
  } finally {
    await broker.stop();
  }
  return results;
}
