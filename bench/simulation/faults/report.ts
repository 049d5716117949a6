import { replay, sweep } from './sweep.ts';
import type { Outcome } from './world.ts';

export interface Flags {
  readonly seeds: number;
  readonly first: number;
  /** Only this one, with a trace. */
  readonly seed: number | undefined;
  readonly json: boolean;
}

/** So many findings are enough to begin with. */
const MOST_FINDINGS = 10;
const PROGRESS = 5_000;

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** Runs seeds, says what they came to, and returns how many broke a rule. */
export async function simulateFaults({ seeds, first, seed, json }: Flags): Promise<number> {
  if (seed !== undefined) {
    process.stdout.on('error', () => process.exit(1)); // a pager that was left
    const outcome = await replay(seed, (line) => process.stdout.write(`${line}\n`));
    say(`\nseed ${seed}: ${outcome.finding ?? 'no rule was broken'}`);
    say(gist([outcome]));
    return outcome.finding === undefined ? 0 : 1;
  }
  const startedAt = performance.now();
  const outcomes: Outcome[] = [];
  const findings: Outcome[] = [];
  const perMinute = (): string =>
    Math.round((outcomes.length * 60_000) / (performance.now() - startedAt)).toLocaleString('en');
  for await (const outcome of sweep({ first, seeds })) {
    outcomes.push(outcome);
    if (outcome.finding !== undefined) {
      findings.push(outcome);
      say(
        `seed ${outcome.seed}: ${outcome.finding}\n  again, with a trace: make simulate ARGS="faults --seed ${outcome.seed}"`,
      );
      if (findings.length === MOST_FINDINGS) break;
    }
    if (outcomes.length % PROGRESS === 0) say(`${outcomes.length.toLocaleString('en')} seeds, ${perMinute()} a minute`);
  }
  say(`\n${gist(outcomes)}`);
  say(`${outcomes.length.toLocaleString('en')} seeds, ${perMinute()} a minute, ${findings.length} findings`);
  if (json) process.stdout.write(`${JSON.stringify({ ...totals(outcomes), findings })}\n`);
  return findings.length;
}

function totals(outcomes: readonly Outcome[]) {
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, each) => total + of(each), 0);
  const faults: Record<string, number> = {};
  for (const outcome of outcomes) {
    for (const [kind, count] of Object.entries(outcome.faults)) faults[kind] = (faults[kind] ?? 0) + count;
  }
  return {
    seeds: outcomes.length,
    orders: sum(({ orders }) => orders),
    delivered: sum(({ delivered }) => delivered),
    deadLettered: sum(({ deadLettered }) => deadLettered),
    parked: sum(({ parked }) => parked),
    sends: sum(({ sends }) => sends),
    told: sum(({ told }) => told),
    resends: sum(({ resends }) => resends),
    processes: sum(({ processes }) => processes),
    deaths: sum(({ deaths }) => deaths),
    events: sum(({ events }) => events),
    virtualHours: sum(({ virtualMs }) => virtualMs) / 3_600_000,
    faults,
  };
}

function gist(outcomes: readonly Outcome[]): string {
  const all = totals(outcomes);
  const n = (count: number): string => Math.round(count).toLocaleString('en');
  const faults = Object.entries(all.faults).sort(([a], [b]) => a.localeCompare(b));
  return [
    `orders     ${n(all.orders)}: ${n(all.delivered)} delivered, ${n(all.deadLettered)} dead-lettered, ${n(all.parked)} parked`,
    `sends      ${n(all.sends)}, of which ${n(all.resends)} beyond the scheduled retries, all explained by faults`,
    `events     ${n(all.told)} of what became of orders, in two seeds of three`,
    `processes  ${n(all.processes)} in ${n(all.virtualHours)} virtual hours, ${n(all.events)} steps; ${n(all.deaths)} died of an order`,
    `faults     ${faults.map(([kind, count]) => `${kind} ${n(count)}`).join(', ') || 'none'}`,
  ].join('\n');
}
