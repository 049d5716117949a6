/**
 * The product's own code under a virtual clock. Without a command: what its rules do to healthy merchants while others hang,
 * slow down or drift; each row is a pair of runs with the same arrivals and latencies, one with the fault and one without.
 * `faults`: whether every order comes to its one end, whatever fails and when.
 */
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { simulateFaults } from './simulation/faults/report.ts';
import { CALM_MS, FAULT_MS, type Load, RECOVERY_MS } from './simulation/load.ts';
import { World } from './simulation/world.ts';

const LOADS: readonly Load[] = [
  { name: '300/s, 10% hang', merchants: 1000, ratePerSecond: 300, zipf: 1, struck: 0.1, by: 'hangs' },
  { name: '600/s, 30% hang', merchants: 1000, ratePerSecond: 600, zipf: 1, struck: 0.3, by: 'hangs' },
  { name: '1200/s, 50% hang', merchants: 1000, ratePerSecond: 1200, zipf: 1, struck: 0.5, by: 'hangs' },
  { name: '300/s, 30% answer after 5 s', merchants: 1000, ratePerSecond: 300, zipf: 1, struck: 0.3, by: 'slow' },
  { name: '1200/s, 50% answer after 5 s', merchants: 1000, ratePerSecond: 1200, zipf: 1, struck: 0.5, by: 'slow' },
  { name: '1200/s, 50% drift to 6 s', merchants: 1000, ratePerSecond: 1200, zipf: 1, struck: 0.5, by: 'drifts' },
  { name: '300/s, 10% drift to 6 s', merchants: 1000, ratePerSecond: 300, zipf: 1, struck: 0.1, by: 'drifts' },
  { name: '2300/s, 10% hang', merchants: 1000, ratePerSecond: 2300, zipf: 1, struck: 0.1, by: 'hangs' },
  { name: '2300/s, 10% answer after 5 s', merchants: 1000, ratePerSecond: 2300, zipf: 1, struck: 0.1, by: 'slow' },
  { name: '2300/s, 10% drift to 6 s', merchants: 1000, ratePerSecond: 2300, zipf: 1, struck: 0.1, by: 'drifts' },
  {
    name: '300/s, 10% hang, 5% bimodal',
    merchants: 1000,
    ratePerSecond: 300,
    zipf: 1,
    struck: 0.1,
    by: 'hangs',
    bimodal: 0.05,
  },
  {
    name: '1200/s, 50% after 5 s, 5% always 600 ms',
    merchants: 1000,
    ratePerSecond: 1200,
    zipf: 1,
    struck: 0.5,
    by: 'slow',
    steady: 0.05,
  },
  {
    name: '1200/s, 50% after 5 s, 5% bimodal',
    merchants: 1000,
    ratePerSecond: 1200,
    zipf: 1,
    struck: 0.5,
    by: 'slow',
    bimodal: 0.05,
  },
  {
    name: '2200/s, 30% after 5 s, 5% bimodal',
    merchants: 1000,
    ratePerSecond: 2200,
    zipf: 1,
    struck: 0.3,
    by: 'slow',
    bimodal: 0.05,
  },
  {
    name: '20,000 merchants, 600/s, 30% hang',
    merchants: 20_000,
    ratePerSecond: 600,
    zipf: 0.5,
    struck: 0.3,
    by: 'hangs',
  },
];

interface Flags {
  readonly budget: readonly number[];
  readonly load: string;
  readonly rate: number | undefined;
  readonly merchants: number | undefined;
  readonly broker: number | undefined;
  readonly threads: number | undefined;
  readonly prefetch: number;
  readonly seeds: number;
  readonly seed: number;
  readonly json: boolean;
}

interface Row {
  readonly load: string;
  readonly budget: number;
  readonly seed: number;
  /** Of healthy merchants, publish to answer, in the fault's time: with it, and without. */
  readonly p99Ms: number;
  readonly calmP99Ms: number;
  readonly ratio: number;
  /** The same ratio in the time of recovery. */
  readonly recoveryRatio: number;
  /** Of those that are always otherwise. */
  readonly otherRatio: number;
  readonly healthyLost: number;
  readonly struckDelivered: number;
  readonly struckEnded: number;
  readonly struck: number;
  /** From publish to answer, of orders that were published while their merchants were struck. */
  readonly struckP50Ms: number;
  readonly struckP99Ms: number;
  readonly mostHops: number;
  /** Hops for each order of a struck merchant. */
  readonly hopsPerStruck: number;
  readonly peak: number;
  readonly pressed: boolean;
}

const at = (sorted: readonly number[], part: number): number => sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
const p99 = (sorted: readonly number[]): number => at(sorted, 0.99);

function pair(load: Load, budget: number, seed: number, flags: Flags): Row {
  const [faulty, calm] = [true, false].map((isFaulty) => {
    const world = new World({
      load,
      budget,
      seed,
      faulty: isFaulty,
      brokerPerSecond: flags.broker,
      threadsPerSecond: flags.threads,
      prefetch: flags.prefetch,
    });
    world.run();
    return world;
  }) as [World, World];
  const fault = [CALM_MS, CALM_MS + FAULT_MS] as const;
  const recovery = [CALM_MS + FAULT_MS, CALM_MS + FAULT_MS + RECOVERY_MS] as const;
  const other = load.steady === undefined ? 'bimodal' : 'steady';
  const healthy = faulty.told('healthy', ...fault);
  const all = faulty.told('healthy', 0, Number.POSITIVE_INFINITY);
  const struck = faulty.told(load.by, 0, Number.POSITIVE_INFINITY);
  const struckInFault = faulty.told(load.by, ...fault).latencies;
  const [p99Ms, calmP99Ms] = [p99(healthy.latencies), p99(calm.told('healthy', ...fault).latencies)];
  return {
    load: load.name,
    budget,
    seed,
    p99Ms,
    calmP99Ms,
    ratio: p99Ms / calmP99Ms,
    recoveryRatio:
      p99(faulty.told('healthy', ...recovery).latencies) / p99(calm.told('healthy', ...recovery).latencies),
    otherRatio: p99(faulty.told(other, ...fault).latencies) / p99(calm.told(other, ...fault).latencies),
    healthyLost: all.published - all.delivered,
    struckDelivered: struck.delivered,
    struckEnded: struck.ended,
    struck: struck.published,
    struckP50Ms: at(struckInFault, 0.5),
    struckP99Ms: at(struckInFault, 0.99),
    mostHops: struck.mostHops,
    hopsPerStruck: faulty.hops / struck.published,
    peak: faulty.peak,
    pressed: faulty.pressed,
  };
}

const cell = (text: string | number, width: number): string => String(text).padStart(width);

function isolation(flags: Flags): void {
  const rows: Row[] = [];
  process.stderr.write(
    `${'load'.padEnd(40)}${cell('budget', 8)}${cell('p99 calm', 10)}${cell('fault', 8)}${cell('ratio', 8)}${cell('recovery', 10)}${cell('others', 9)}${cell('hops', 11)}${cell('peak', 7)}${cell('struck s', 12)}  healthy not delivered, struck delivered of ended of published\n`,
  );
  for (const load of LOADS.filter(({ name }) => name.includes(flags.load))) {
    for (const budget of flags.budget) {
      const used = {
        ...load,
        ...(flags.rate === undefined ? {} : { ratePerSecond: flags.rate }),
        ...(flags.merchants === undefined ? {} : { merchants: flags.merchants }),
      };
      const pairs = Array.from({ length: flags.seeds }, (_, nth) => pair(used, budget, flags.seed + nth, flags));
      rows.push(...pairs);
      const worst = pairs.reduce((a, b) => (b.ratio > a.ratio ? b : a));
      const ms = (value: number): string => `${Math.round(value)}`;
      const s = (value: number): string => (value / 1000).toFixed(0);
      process.stderr.write(
        `${used.name.padEnd(40)}${cell(budget, 8)}${cell(ms(worst.calmP99Ms), 10)}${cell(ms(worst.p99Ms), 8)}${cell(worst.ratio.toFixed(2), 8)}${cell(worst.recoveryRatio.toFixed(2), 10)}${cell(Number.isNaN(worst.otherRatio) ? '-' : worst.otherRatio.toFixed(2), 9)}${cell(`${worst.hopsPerStruck.toFixed(2)} (${worst.mostHops})`, 11)}${cell(worst.peak, 7)}${cell(`${s(worst.struckP50Ms)}, ${s(worst.struckP99Ms)}`, 12)}  ${worst.healthyLost}, ${worst.struckDelivered} of ${worst.struckEnded} of ${worst.struck}${worst.pressed ? '  (says that the budget is too small)' : ''}\n`,
      );
    }
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
}

/** What cannot be run would run as nonsense. */
function checkNumbers(flags: Readonly<Record<string, unknown>>): true {
  const got = (value: number): string => (Number.isNaN(value) ? 'no number' : String(value));
  for (const name of ['budget', 'merchants', 'prefetch', 'seeds', 'seed', 'first']) {
    for (const value of [flags[name] ?? []].flat() as number[]) {
      if (!Number.isSafeInteger(value) || value < 1)
        throw new Error(`--${name}: expected a whole number from 1, got ${got(value)}`);
    }
  }
  for (const name of ['rate', 'broker', 'threads']) {
    const value = flags[name] as number | undefined;
    if (value !== undefined && !(value > 0)) throw new Error(`--${name}: expected a number above 0, got ${got(value)}`);
  }
  const { load } = flags;
  if (typeof load === 'string' && !LOADS.some(({ name }) => name.includes(load)))
    throw new Error(`--load: expected a part of ${LOADS.map(({ name }) => `'${name}'`).join(', ')}; got '${load}'`);
  return true;
}

await yargs(hideBin(process.argv))
  .scriptName('make simulate')
  .usage('make simulate [ARGS="--budget 200 --load hang --seeds 3"]\nmake simulate ARGS="faults --seeds 100000"')
  .command(
    '$0',
    'The isolation rules: what merchants that hang, slow down or drift do to the others',
    (args) =>
      args
        .option('budget', {
          type: 'number',
          array: true,
          default: [200, 500, 1000, 2000, 4000],
          describe: 'Calls in flight',
        })
        .option('load', { type: 'string', default: '', describe: 'Only loads with this in their name' })
        .option('rate', { type: 'number', describe: 'Orders a second, in place of the load’s' })
        .option('merchants', { type: 'number', describe: 'Merchants, in place of the load’s' })
        .option('broker', {
          type: 'number',
          describe: 'Orders a second that the broker can take; absent: as many as come',
        })
        .option('threads', {
          type: 'number',
          describe: 'Orders a second that all threads can begin; absent: as many as come',
        })
        .option('prefetch', { type: 'number', default: 30_000, describe: 'Orders in hand' })
        .option('seeds', { type: 'number', default: 1, describe: 'Pairs of runs a row; the worst is shown' })
        .option('seed', { type: 'number', default: 1, describe: 'The first seed' })
        .option('json', { type: 'boolean', default: false, describe: 'One array of rows as the last line' }),
    (flags) => isolation(flags),
  )
  .command(
    'faults',
    'Nothing lost, nothing sent without need: the whole of the program but its sockets and threads, while all of those fail',
    (args) =>
      args
        .option('seeds', { type: 'number', default: 10_000, describe: 'Runs; each is one seed' })
        .option('first', { type: 'number', default: 1, describe: 'The first seed' })
        .option('seed', { type: 'number', describe: 'Only this one, with a trace of all that happens' })
        .option('json', { type: 'boolean', default: false, describe: 'The totals and findings as the last line' })
        .example('make simulate ARGS="faults --seeds 100000"', 'Eight to thirty minutes on one core')
        .example('make simulate ARGS="faults --seed 4711"', 'That one again, event by event')
        .epilog(
          'Each seed is a run of its own: orders, merchants, limits, and up to dozens of faults between any two steps; then ' +
            'everything heals and must come to its end. ARCHITECTURE.md has the rules that are checked. Ends with exit code 1 ' +
            '(make: 2) when one was broken.',
        ),
    async (flags) => {
      if ((await simulateFaults(flags)) > 0) process.exitCode = 1;
    },
  )
  .check(checkNumbers)
  .version(false)
  .showHelpOnFail(false, '--help lists the options')
  .strict()
  .parse();
