/**
 * The benchmark: orderlane beside what it is compared with, in one run on one machine. Runs are interleaved A B A B, and
 * what is compared is the ratio within a pair, because machines are noisy. See README.md in this folder.
 */
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { messageOf } from '../src/errors.ts';
import { writeToMemory } from './in-memory.ts';
import { endOnSignals } from './interrupt.ts';
import { FAULTS } from './isolation/cases.ts';
import { plotFile } from './plot.ts';
import { isOneOf, ResultFile, thisMachine } from './results.ts';
import { quotedIn, type Row, type Run, type Scenario } from './scenario.ts';
import { scenarios } from './scenarios/index.ts';
import { isolation } from './scenarios/isolation.ts';
import { Summary } from './summary.ts';

const ISOLATION = 'isolation';
const RESULTS = fileURLToPath(new URL('./results', import.meta.url));

const flags = await yargs(hideBin(process.argv))
  .scriptName('make bench')
  .usage('make bench [SCENARIO=name] [ARGS="--quick --json"]')
  .option('scenario', {
    type: 'string',
    choices: scenarios.map((each) => each.name),
    describe: `Only this one; ${ISOLATION} runs by name only`,
  })
  .option('runs', { type: 'number', default: 5, describe: 'Rounds: all systems once, then all again' })
  .option('quick', { type: 'boolean', default: false, describe: 'One round, fewer orders and cases: an indication' })
  .option('only', { type: 'string', describe: 'Only runs whose label, such as "forwarder: orderlane", has this in it' })
  .option('resume', {
    type: 'boolean',
    default: false,
    describe: 'Keep what the result files have, and run what they have not',
  })
  .option('results', {
    type: 'string',
    describe:
      'Where raw results and plots go (default: bench/results; nowhere with --quick, or with --only and no --resume)',
  })
  .option('list', { type: 'boolean', default: false, describe: 'Only say which runs there would be' })
  .option('json', { type: 'boolean', default: false, describe: 'One array of rows as the last line' })
  .option('budget', { type: 'number', array: true, describe: `With ${ISOLATION}: only cases with these budgets` })
  .option('fault', { choices: FAULTS, array: true, describe: `With ${ISOLATION}: only these faults` })
  .option('rate', {
    choices: ['fixed', 'saturating'],
    array: true,
    describe: `With ${ISOLATION}: only at 300 orders/s, or only at 70% of what saturates this machine`,
  })
  .check(({ runs, scenario, budget, fault, rate }) => {
    if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs: expected a whole number from 1, got ${runs}`);
    if ((budget ?? fault ?? rate) !== undefined && scenario !== ISOLATION)
      throw new Error(`--budget, --fault and --rate: expected with --scenario ${ISOLATION} only`);
    return true;
  })
  .strict()
  .parse();

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

async function main(): Promise<void> {
  endOnSignals();
  writeToMemory();
  const pairs = flags.quick ? 1 : flags.runs;
  const machine = thisMachine(flags.quick);
  say(
    `${machine.date}  Node ${machine.node}  ${machine.cores} x ${machine.cpu}  ${machine.memoryGb} GB, the broker’s data in ${machine.broker === 'memory' ? 'memory' : 'a folder for temporary files'}`,
  );
  const part = flags.only ?? flags.budget ?? flags.fault ?? flags.rate;
  const keeps = flags.resume || !(flags.quick || part !== undefined);
  const dir = flags.results ?? (keeps ? RESULTS : undefined);
  const rows: Row[] = [];
  let missed = 0;
  const asked = chosen().filter((scenario) => runsOf(scenario).length > 0);
  if (asked.length === 0) {
    const labels = chosen().flatMap((scenario) => scenario.runs(flags.quick).map(({ label }) => `\n  ${label}`));
    say(
      labels.length === 0
        ? 'there is no case with this --budget, --fault and --rate'
        : `--only: expected a part of one of these, got '${flags.only}'${labels.join('')}`,
    );
    process.exit(2);
  }
  for (const scenario of asked) {
    const file =
      dir === undefined ? undefined : new ResultFile(dir, scenario.name, machine, flags.resume, scenario.anyMachine);
    const mine = await measure(scenario, pairs, machine.date, file);
    rows.push(...mine);
    if (flags.list) continue;
    missed += verdict(scenario, mine);
    if (file !== undefined && mine.length > 0) say(`  ${file.path}, ${await plotFile(file.path)}`);
  }
  if (missed > 0) say(`\n${missed} of the goals missed`);
  if (failed.length > 0) {
    say(`\n${failed.length} runs failed; --resume tries them again:\n  ${failed.join('\n  ')}`);
    process.exitCode = 1;
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
}

function chosen(): readonly Scenario[] {
  if (flags.scenario === undefined) return scenarios.filter(({ name }) => name !== ISOLATION);
  if (flags.scenario === ISOLATION) {
    return [isolation({ budgets: flags.budget, faults: flags.fault, rates: flags.rate })];
  }
  return scenarios.filter(({ name }) => name === flags.scenario);
}

function runsOf(scenario: Scenario): readonly Run[] {
  return scenario.runs(flags.quick).filter(({ label }) => label.includes(flags.only ?? ''));
}

/** Runs that could not be made. */
const failed: string[] = [];

interface Planned {
  readonly pair: number;
  readonly run: Run;
}

/** All systems once, then all again: what drifts on this machine drifts for all of them. */
async function measure(
  scenario: Scenario,
  pairs: number,
  session: string,
  file: ResultFile | undefined,
): Promise<readonly Row[]> {
  say(`\n${scenario.name}: ${scenario.describe}`);
  const earlier = file?.earlier ?? [];
  const runs = runsOf(scenario);
  const all: Planned[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    for (const run of runs)
      if (pair <= (run.rounds ?? pairs) && file?.has(run.label, pair) !== true) all.push({ pair, run });
  }
  if (flags.list) {
    for (const { label, rounds } of runs) say(`  ${Math.min(pairs, rounds ?? pairs)} x  ${label}`);
    return [];
  }
  const begun = Date.now();
  let rows: readonly Row[] = earlier;
  if (rows.length > 0) say(`  ${rows.length} rows are there, ${all.length} runs are left`);
  let done = 0;
  for (const { pair, run } of all) {
    const leftMin =
      done === 0 ? '' : `, ${Math.ceil(((Date.now() - begun) * (all.length - done)) / done / 60_000)} min left`;
    const doing = `  run ${done + 1} of ${all.length}, round ${pair}${leftMin}: ${run.label}`;
    const tell = (what: string): void => {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${what}`);
      else say(what);
    };
    tell(doing);
    let measured: readonly Row[] = [];
    try {
      measured = (await run.measure(pair, (what) => tell(`${doing}, ${what}`))).map((each) => ({
        scenario: scenario.name,
        run: run.label,
        pair,
        session,
        ...each,
      }));
    } catch (error) {
      failed.push(`${run.label}, round ${pair}: ${messageOf(error)}`);
    }
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
    done++;
    if (measured.length > 0) file?.add(measured);
    else say(`  failed: ${failed.at(-1)}`);
    rows = [...rows.filter((row) => !isOneOf(measured, row)), ...measured];
    for (const row of measured) {
      say(`  ${row.case.padEnd(28)} ${row.system.padEnd(24)} ${line(scenario, row)}`);
      if (row.disturbed !== undefined) say(`    disturbed: ${row.disturbed}`);
    }
  }
  return rows;
}

function line({ figures }: Scenario, row: Row): string {
  return figures.map((figure) => `${figure.name} ${figure.of(row).toFixed(figure.digits)}${figure.unit}`).join(', ');
}

/** Prints medians, ratios to the first system of each case, and the goals; returns how many were missed. */
function verdict(scenario: Scenario, rows: readonly Row[]): number {
  const summary = new Summary(rows);
  for (const each of summary.cases) {
    say(`\n  ${each}`);
    for (const system of summary.systems(each)) {
      const figures = scenario.figures.map((figure) => `${figure.name} ${summary.text(figure, each, system)}`);
      const ratio = summary.ratioToFirst(scenario.figures[0], each, system);
      say(`    ${system.padEnd(24)} ${figures.join('; ')}${ratio === '' ? '' : `; ratio ${ratio}`}`);
    }
    for (const { system, says } of quotedIn(scenario, each)) say(`    ${system.padEnd(24)} ${says}`);
  }
  const disturbed = rows.filter((row) => row.disturbed !== undefined).length;
  if (disturbed > 0)
    say(`\n  ${disturbed} of ${rows.length} rows were disturbed, and no goal for speed is judged by them`);
  let missed = 0;
  for (const { says, met } of scenario.goals(summary)) {
    say(`  ${met === undefined ? 'unknown' : met ? 'met    ' : 'MISSED '}  ${says}`);
    if (met === false) missed++;
  }
  return missed;
}

await main();
