/**
 * The benchmark: orderlane beside what it is compared with, in one run on one machine. Runs are interleaved A B A B, and
 * what is compared is the ratio within a pair, because machines are noisy. See README.md in this folder.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { type PrivateBroker, startBroker } from '../src/sim/broker.ts';
import { isolation, SYSTEMS } from './isolation.ts';
import { FAULTS } from './isolation/cases.ts';
import { median } from './median.ts';
import { type Job, type Peer, RunningPeer } from './peer.ts';
import { usageOf } from './process-tree.ts';
import type { Measured, Scenario } from './scenario.ts';
import { scenarios } from './scenarios/index.ts';

const ISOLATION = 'isolation';
const MAIN = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));

const flags = await yargs(hideBin(process.argv))
  .scriptName('make bench')
  .usage('make bench [SCENARIO=name] [ARGS="--quick --json"]')
  .option('scenario', {
    type: 'string',
    choices: [...scenarios.map((each) => each.name), ISOLATION],
    describe: `Only this one; ${ISOLATION} runs by name only, 10 minutes a pair and budget`,
  })
  .option('budget', { type: 'number', array: true, describe: `With ${ISOLATION}: only cases with these budgets` })
  .option('fault', { choices: FAULTS, array: true, describe: `With ${ISOLATION}: only these faults` })
  .option('system', {
    choices: SYSTEMS.map(({ name }) => name),
    array: true,
    describe: `With ${ISOLATION}: only these systems`,
  })
  .option('rate', {
    choices: ['fixed', 'saturating'],
    array: true,
    describe: `With ${ISOLATION}: only at 300 orders/s, or only at 70% of what saturates this machine`,
  })
  .option('runs', { type: 'number', default: 5, describe: 'Pairs of runs a scenario' })
  .option('quick', { type: 'boolean', default: false, describe: 'Two pairs, fewer orders' })
  .option('json', { type: 'boolean', default: false, describe: 'One array of rows as the last line' })
  .strict()
  .parse();

interface Row extends Measured {
  readonly scenario: string;
  readonly pair: number;
}

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

async function main(): Promise<void> {
  const chosen = scenarios.filter((each) => flags.scenario === undefined || each.name === flags.scenario);
  const pairs = flags.quick ? 2 : flags.runs;
  say(
    `${new Date().toISOString()}  Node ${process.version}  ${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}  ${Math.round(totalmem() / 2 ** 30)} GB`,
  );
  if (flags.scenario === ISOLATION) {
    const choice = { pairs, budgets: flags.budget, faults: flags.fault, rates: flags.rate, systems: flags.system };
    const { rows, missed } = await isolation(choice, say);
    if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
    if (missed > 0) say(`\n${missed} of the goals missed`);
    return;
  }
  const rows: Row[] = [];
  let missed = 0;
  for (const scenario of chosen) {
    say(`\n${scenario.name}: ${scenario.describe}`);
    for (let pair = 1; pair <= pairs; pair++) {
      for (const peer of [scenario.baseline, scenario.peer]) {
        const row = { scenario: scenario.name, pair, ...(await measure(scenario, peer)) };
        rows.push(row);
        const { figure } = scenario;
        say(`  pair ${pair}/${pairs}  ${peer.name.padEnd(26)} ${line(row, figure)}`);
      }
    }
    missed += verdict(
      scenario,
      rows.filter((row) => row.scenario === scenario.name),
    );
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
  if (missed > 0) say(`\n${missed} of the goals missed`);
}

async function measure(scenario: Scenario, peer: Peer): Promise<Measured> {
  const { warmup, concurrency } = scenario;
  const orders = flags.quick ? scenario.quickOrders : scenario.orders;
  const broker = await startBroker();
  const merchants = scenario.sends ? await startMerchants() : undefined;
  try {
    const url = merchants === undefined ? {} : { url: merchants.urlTemplate };
    const job: Job = { broker: broker.url, queue: 'orders', warmup, orders, concurrency, ...url };
    await publish(broker, scenario, warmup + orders);
    const running = new RunningPeer(peer, job);
    try {
      const firstMs = await (merchants?.accepted(warmup) ?? running.first);
      const before = usageOf(running.pid);
      const lastMs = await (merchants?.accepted(warmup + orders) ?? running.last);
      const after = usageOf(running.pid);
      const cpuMs = after.cpuMs - before.cpuMs;
      return { system: peer.name, orders, elapsedMs: lastMs - firstMs, cpuMs, peakMb: after.peakMb };
    } finally {
      await running.stop();
    }
  } finally {
    await merchants?.stop();
    await broker.stop();
  }
}

async function publish(broker: PrivateBroker, scenario: Scenario, orders: number): Promise<void> {
  const args = [
    'publish',
    '--broker',
    broker.url,
    '--generate',
    String(orders),
    '--merchants',
    String(scenario.merchants),
    '--zipf',
    '0',
    '--seed',
    '1',
  ];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const errors: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`publish ended with code ${code}: ${Buffer.concat(errors).toString()}`);
}

interface SimulatedMerchants {
  readonly urlTemplate: string;
  /** When they had accepted this many orders, on the machine's monotonic clock. */
  accepted(orders: number): Promise<number>;
  stop(): Promise<void>;
}

/** In a process of their own, so that their CPU is nobody's. */
async function startMerchants(): Promise<SimulatedMerchants> {
  const args = [MAIN, 'merchants', '--port', '0', '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [ready] = (await once(child.stdout, 'data')) as [Buffer];
  const { url, urlTemplate } = JSON.parse(ready.toString()) as { url: string; urlTemplate: string };
  return {
    urlTemplate,
    accepted: async (orders) => {
      for (;;) {
        const { accepted } = (await (await fetch(`${url}/_orderlane/stats`)).json()) as { accepted: number };
        if (accepted >= orders) return Number(process.hrtime.bigint()) / 1e6;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    stop: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

function line(run: Measured, figure: Scenario['figure']): string {
  return `${figure.of(run).toFixed(figure.digits)}${figure.unit}  (CPU ${((run.cpuMs * 1000) / run.orders).toFixed(0)} us an order, peak ${run.peakMb.toFixed(0)} MB)`;
}

/** Prints the medians, the ratio and the goals; returns how many were missed. */
function verdict(scenario: Scenario, rows: readonly Row[]): number {
  const { figure } = scenario;
  const of = (system: string): Row[] => rows.filter((row) => row.system === system);
  const ours = of(scenario.peer.name);
  const theirs = of(scenario.baseline.name);
  const ratios = ours.map((row, i) => figure.of(row) / figure.of(theirs[i] as Row));
  const ratio = median(ratios);
  const shown = (runs: readonly Row[]): string => {
    const values = runs.map((run) => figure.of(run)).sort((a, b) => a - b);
    const text = (value: number | undefined): string => (value ?? Number.NaN).toFixed(figure.digits);
    return `${text(median(values))}${figure.unit} (${text(values[0])} to ${text(values.at(-1))})`;
  };
  say(
    `  median ${figure.name}: orderlane ${shown(ours)}, ${scenario.baseline.name} ${shown(theirs)}, ratio ${ratio.toFixed(2)}`,
  );
  let missed = 0;
  for (const goal of scenario.goals) {
    const met = goal.met(ratio, (of) => median(ours.map(of)));
    say(`  ${met ? 'met   ' : 'MISSED'}  ${goal.says}`);
    if (!met) missed++;
  }
  return missed;
}

await main();
