import { betweenCalm, CALM_MOST } from '../isolation/between-calm.ts';
import { type Case, CASES, type Fault, RUN_S } from '../isolation/cases.ts';
import { DEADLINE, type Ran, run, SATURATING_STEP, type Setup, saturation } from '../isolation/run.ts';
import type { Latency } from '../isolation/judge.ts';
import type { Peer } from '../peer.ts';
import { celery, relayed } from '../peers/celery.ts';
import { orderlane } from '../peers/orderlane.ts';
import { plain } from '../peers/plain.ts';
import { type Figure, type Goal, type Measured, memory, once, type Run, type Scenario } from '../scenario.ts';
import { disturbance, Undisturbed } from '../stolen.ts';
import type { Summary } from '../summary.ts';
import { atMost } from '../summary.ts';

/** 50 calls to one merchant is what `work` has by default. */
const OURS = orderlane({ merchantConcurrency: 50, logLevel: 'debug', flags: ['--deadline', DEADLINE] });
const PLAIN = plain('got');
const CELERY = relayed(celery('gevent'));
const RECOVERY_MOST = 1.2;
const BIMODAL_MOST = 1.2;
const HOPS_MOST = 3;

export interface Choice {
  readonly budgets?: readonly number[] | undefined;
  readonly faults?: readonly string[] | undefined;
  /** `fixed` for the cases with a fixed rate, `saturating` for those with a part of what saturates the machine. */
  readonly rates?: readonly string[] | undefined;
}

function figure(name: string, unit: string, digits: number, of: (row: Measured) => number | undefined): Figure {
  return { name, unit, digits, of: (row) => of(row) ?? Number.NaN };
}

const ratio = figure('healthy p99 over calm', '', 2, (row) => row.ratioP99);
const healthy = figure('healthy p99', ' ms', 0, (row) => row.healthyP99Ms);
const calm = figure('calm p99', ' ms', 0, (row) => row.calmP99Ms);
const recovery = figure('recovery over calm', '', 2, (row) => row.recoveryRatioP99);
const bimodal = figure('bimodal over its calls', '', 2, (row) => row.bimodalRatioP99);
const bimodalInFault = figure('bimodal over its calls, with the fault', '', 2, (row) => row.bimodalInFaultRatioP99);
const late = figure('healthy not delivered', '', 0, (row) => row.healthyLate);
const lost = figure('lost', '', 0, (row) => row.lost);
const duplicates = figure('duplicate sends', '', 0, (row) => row.duplicateSends);
const overdue = figure('sent after the deadline', '', 0, (row) => row.sentAfterDeadline);
const hops = figure('most hops', '', 0, (row) => row.mostHops);
const offered = figure('orders a second', '', 0, (row) => row.rate);
const drained = figure('struck drained after', ' s', 0, (row) => row.drainedAfterS);

/**
 * What merchants that stop answering, slow down or drift do to the others: real RabbitMQ, real HTTP, an open loop. Each
 * fault's run stands beside one without, with the same orders at the same intended times and the same latencies; time
 * runs from the intended publish to the answer's end.
 */
export function isolation(choice: Choice = {}): Scenario {
  const rateOf = ({ rate }: Case): string => ('perSecond' in rate ? 'fixed' : 'saturating');
  const faultsOf = (each: Case): readonly Fault[] =>
    each.faults.filter((fault) => choice.faults?.includes(fault) ?? true);
  const cases = CASES.filter(
    (each) =>
      (choice.budgets?.includes(each.budget) ?? true) &&
      (choice.rates?.includes(rateOf(each)) ?? true) &&
      faultsOf(each).length > 0,
  );
  return {
    name: 'isolation',
    anyMachine: true,
    describe:
      'what merchants that hang, slow down or drift do to the others, in an open loop to 1,000 merchants, Zipf 1',
    figures: [
      ratio,
      healthy,
      calm,
      recovery,
      bimodal,
      bimodalInFault,
      late,
      lost,
      duplicates,
      overdue,
      hops,
      drained,
      offered,
      memory,
    ],
    runs: (quick) => {
      const stage = new Stage();
      const typical = cases.findIndex(({ budget }) => budget === 1000);
      const asked = quick ? cases.slice(Math.max(0, typical)).slice(0, 1) : cases;
      return asked.flatMap((each) => {
        const faults = quick ? faultsOf(each).slice(0, 1) : faultsOf(each);
        return [stage.group(each, faults, OURS), ...beside(stage, each, faults)];
      });
    },
    goals: (summary) =>
      cases.flatMap((each) =>
        faultsOf(each)
          .filter((fault) => summary.cases.includes(caseOf(each, fault))) // there are many, and most runs are of a few
          .flatMap((fault) => goalsOf(summary, each, fault)),
      ),
  };
}

/**
 * The others hang only: they have nothing that tells slow from hung, and run for minutes longer. At 300 orders/s the plain
 * consumer's rounds are far apart, so it has all of them; Celery gevent does not reach the higher rate at all.
 */
function beside(stage: Stage, each: Case, faults: readonly Fault[]): readonly Run[] {
  if (!faults.includes('hang')) return [];
  const byHand = stage.group(each, ['hang'], PLAIN);
  return 'perSecond' in each.rate ? [byHand, ...once([stage.group(each, ['hang'], CELERY)])] : once([byHand]);
}

function rateIn({ rate }: Pick<Case, 'rate'>): string {
  return 'perSecond' in rate ? `${rate.perSecond}/s` : `${rate.ofSaturation * 100}% of saturation`;
}

function placeOf(each: Case): string {
  return `${rateIn(each)}, ${each.budget.toLocaleString('en')} in flight, ${each.struck * 100}%`;
}

function caseOf(each: Case, fault: Fault): string {
  return `${placeOf(each)} ${fault}`;
}

/** What the groups of a session share: what saturates, those of the same round, budget and part struck. */
class Stage {
  /** In orders a second. */
  readonly #saturating = new Map<string, number>();

  /** One system's runs with the faults, between two runs without. */
  group(asked: Case, faults: readonly Fault[], peer: Peer): Run {
    const place = placeOf(asked);
    return {
      system: peer.name,
      label: `${place} ${faults.join(', ')}: ${peer.name}`,
      measure: async (pair, tell) => {
        // What saturates us is a rate that we hold; whether others do, or any of us a fixed one, is what the rows tell.
        const most = peer === OURS && 'ofSaturation' in asked.rate ? CALM_MOST : Number.POSITIVE_INFINITY;
        const undisturbed = new Undisturbed(tell);
        const begin = async (tries: number) => {
          const rate = await this.#rate(asked, pair, tries > 1, undisturbed);
          const setup: Setup = { ...asked, rate, seed: pair };
          const running = (fault?: Fault): Promise<Ran> => {
            tell(`${fault ?? 'calm'} at ${setup.rate}/s`);
            return undisturbed.run(() => run(setup, peer, fault));
          };
          return { rate, running };
        };
        const { rate, without, ran, tries, unheld } = await betweenCalm(faults, most, begin, tell);
        return ran.map(([fault, each]) => {
          const row = rowOf({ ...asked, rate, seed: pair }, each, without);
          const disturbed = unheld ?? disturbance(row.stolen ?? 0);
          return {
            case: caseOf(asked, fault),
            system: peer.name,
            tries,
            ...row,
            ...(disturbed === undefined ? {} : { disturbed }),
          };
        });
      },
    };
  }

  /** In orders a second. What saturates the machine is measured beside the runs it is for: within an hour it differs by half. */
  async #rate({ rate, ...asked }: Case, pair: number, anew: boolean, undisturbed: Undisturbed): Promise<number> {
    if ('perSecond' in rate) return rate.perSecond;
    const group = `${placeOf({ rate, ...asked })} ${pair}`;
    const before = this.#saturating.get(group);
    if (before !== undefined && !anew) return Math.round(rate.ofSaturation * before);
    undisturbed.tell('what saturates');
    // A rate that was not held is not raised, even if the next few seconds would bear it.
    const most = before === undefined ? Number.POSITIVE_INFINITY : before / SATURATING_STEP;
    const saturating = Math.min(most, (await undisturbed.run(() => saturation(OURS))).rate);
    this.#saturating.set(group, saturating);
    return Math.round(rate.ofSaturation * saturating);
  }
}

function rowOf(
  { rate, budget, struck }: Setup,
  ran: Ran,
  without: readonly [Ran, Ran],
): Omit<Measured, 'case' | 'system' | 'tries'> {
  // The better of the two, figure by figure: what disturbs a calm run must not excuse one with a fault.
  const calmly = (of: (each: Ran) => number): number => Math.min(of(without[0]), of(without[1]));
  const all = [ran, ...without];
  const sum = (of: (each: Ran) => number): number => all.reduce((total, each) => total + of(each), 0);
  const calmP99Ms = calmly(({ healthy }) => healthy.p99Ms);
  return {
    orders: rate * RUN_S,
    elapsedMs: RUN_S * 1000,
    cpuMs: ran.cpuMs,
    peakMb: ran.peakMb,
    rate,
    budget,
    hangFraction: struck,
    healthyPublished: ran.healthy.published,
    healthyDelivered: ran.healthy.delivered,
    healthyP50Ms: ran.healthy.p50Ms,
    healthyP99Ms: ran.healthy.p99Ms,
    calmP50Ms: calmly(({ healthy }) => healthy.p50Ms),
    calmP99Ms,
    ratioP99: over(ran.healthy.p99Ms, calmP99Ms),
    healthyP99MsBySecond: ran.healthyP99MsBySecond,
    recoveryRatioP99: over(
      ran.recovery.p99Ms,
      calmly(({ recovery }) => recovery.p99Ms),
    ),
    bimodalRatioP99: Math.max(...without.map(({ bimodal, bimodalCallP99Ms }) => over(bimodal.p99Ms, bimodalCallP99Ms))),
    bimodalInFaultRatioP99: over(ran.bimodal.p99Ms, ran.bimodalCallP99Ms),
    stolen: Math.max(ran.stolen, ...without.map(({ stolen }) => stolen)),
    healthyLate: sum(({ healthy, recovery }) => missing(healthy) + missing(recovery)),
    struck: ran.struck,
    lost: sum(({ lost }) => lost),
    duplicateSends: sum(({ duplicateSends }) => duplicateSends),
    sentAfterDeadline: sum(({ sentAfterDeadline }) => sentAfterDeadline),
    mostHops: Math.max(...all.map(({ mostHops }) => mostHops)),
    drainedAfterS: ran.drainedAfterS,
  };
}

function missing({ published, delivered }: Latency): number {
  return published - delivered;
}

/** What was never answered is over anything. */
function over(latencyMs: number, without: number): number {
  return Number.isFinite(latencyMs) && Number.isFinite(without) ? latencyMs / without : Number.POSITIVE_INFINITY;
}

function goalsOf(summary: Summary, each: Case, fault: Fault): readonly Goal[] {
  const of = caseOf(each, fault);
  // What the machine disturbed says nothing of how fast we are, and as much as any other of what we lose.
  const typical = (what: Figure): number => summary.undisturbed.median(what, of, OURS.name);
  const worst = (what: Figure): number => summary.most(what, of, OURS.name);
  return [
    atMost(typical(ratio), each.most, `${of}: healthy p99 over calm`),
    atMost(typical(recovery), RECOVERY_MOST, `${of}: recovery over calm`),
    atMost(typical(bimodal), BIMODAL_MOST, `${of}: bimodal over its calls' own`),
    atMost(worst(late), 0, `${of}: healthy orders not delivered`),
    atMost(worst(lost) + worst(overdue), 0, `${of}: orders lost, or sent after their deadline`),
    atMost(worst(hops), HOPS_MOST, `${of}: hops`),
  ];
}
