/**
 * What merchants that stop answering, slow down or drift do to the others: real RabbitMQ, real HTTP, an open loop. Each
 * fault's run stands beside one without, with the same orders at the same intended times and the same latencies; time
 * runs from the intended publish to the answer's end.
 */
import { type Case, CASES, type Fault } from './isolation/cases.ts';
import { type Ran, run, saturation } from './isolation/run.ts';
import { median } from './median.ts';
import type { Peer } from './peer.ts';
import { orderlane } from './peers/orderlane.ts';
import { plain } from './peers/plain.ts';

const OURS = orderlane(undefined, 50, 'debug');
export const SYSTEMS: readonly Peer[] = [OURS, plain('got')];

export interface IsolationRow {
  readonly scenario: 'isolation';
  readonly system: string;
  readonly pair: number;
  readonly fault: Fault;
  /** The part of the merchants that is struck, by whatever fault. */
  readonly hangFraction: number;
  readonly budget: number;
  /** Orders a second. */
  readonly rate: number;
  /** Of healthy merchants' orders that were published while the fault lasted, in milliseconds. */
  readonly healthyP50Ms: number;
  readonly healthyP99Ms: number;
  readonly healthyPublished: number;
  readonly healthyDelivered: number;
  readonly calmP50Ms: number;
  readonly calmP99Ms: number;
  readonly ratioP99: number;
  /** The same after the fault, while the struck merchants' backlog drains. */
  readonly recoveryRatioP99: number;
  /** Of bimodal merchants in the run without a fault: from the intended publish, over what their calls themselves took. */
  readonly bimodalRatioP99: number;
  readonly struck: Ran['struck'];
  readonly lost: number;
  readonly duplicateSends: number;
  readonly sentAfterDeadline: number;
  readonly mostHops: number;
  /** From the fault's end to the last answer of a struck merchant's order, in seconds. */
  readonly drainedAfterS: number;
}

export interface Choice {
  readonly pairs: number;
  readonly budgets: readonly number[] | undefined;
  readonly faults: readonly string[] | undefined;
  readonly systems: readonly string[] | undefined;
  /** `fixed` for the cases with a fixed rate, `saturating` for those with a part of what saturates the machine. */
  readonly rates: readonly string[] | undefined;
}

const RECOVERY_MOST = 1.2;
const BIMODAL_MOST = 1.2;
const HOPS_MOST = 3;

/** Returns all rows, and how many goals were missed. */
export async function isolation(
  choice: Choice,
  say: (text: string) => void,
): Promise<{ readonly rows: readonly IsolationRow[]; readonly missed: number }> {
  const cases = CASES.filter(
    ({ budget, rate }) =>
      (choice.budgets?.includes(budget) ?? true) &&
      (choice.rates?.includes('perSecond' in rate ? 'fixed' : 'saturating') ?? true),
  );
  let saturating: number | undefined;
  if (cases.some(({ rate }) => 'ofSaturation' in rate)) {
    saturating = await saturation(OURS);
    say(
      `\nthis machine takes ${Math.round(saturating)} orders/s through orderlane, publisher, broker and merchants on it`,
    );
  }
  const rows: IsolationRow[] = [];
  let missed = 0;
  for (const each of cases) {
    const rate =
      'perSecond' in each.rate ? each.rate.perSecond : Math.round(each.rate.ofSaturation * (saturating as number));
    const faults = each.faults.filter((fault) => choice.faults?.includes(fault) ?? true);
    say(
      `\nisolation: ${rate} orders/s to 1,000 merchants, ${each.budget} calls in flight, ${each.struck * 100}% struck`,
    );
    const mine: IsolationRow[] = [];
    for (let pair = 1; pair <= choice.pairs; pair++) {
      for (const peer of SYSTEMS.filter(({ name }) => choice.systems?.includes(name) ?? true)) {
        const setup = { ...each, rate, seed: pair };
        const calm = await run(setup, peer, undefined);
        for (const fault of faults) {
          const row = rowOf(each, rate, peer, pair, fault, await run(setup, peer, fault), calm);
          mine.push(row);
          say(`  pair ${pair}/${choice.pairs}  ${lineOf(row)}`);
        }
      }
    }
    for (const fault of faults) {
      const goals = goalsOf(
        each,
        mine.filter((row) => row.fault === fault && row.system === OURS.name),
      );
      for (const [met, says] of goals) {
        say(`  ${met ? 'met   ' : 'MISSED'}  ${fault}: ${says}`);
        if (!met) missed++;
      }
    }
    rows.push(...mine);
  }
  return { rows, missed };
}

function rowOf(each: Case, rate: number, peer: Peer, pair: number, fault: Fault, ran: Ran, calm: Ran): IsolationRow {
  const { healthy, recovery } = ran;
  return {
    scenario: 'isolation',
    system: peer.name,
    pair,
    fault,
    hangFraction: each.struck,
    budget: each.budget,
    rate,
    healthyP50Ms: healthy.p50Ms,
    healthyP99Ms: healthy.p99Ms,
    healthyPublished: healthy.published,
    healthyDelivered: healthy.delivered,
    calmP50Ms: calm.healthy.p50Ms,
    calmP99Ms: calm.healthy.p99Ms,
    ratioP99: healthy.p99Ms / calm.healthy.p99Ms,
    recoveryRatioP99: recovery.p99Ms / calm.recovery.p99Ms,
    bimodalRatioP99: calm.bimodal.p99Ms / calm.bimodalCallP99Ms,
    struck: ran.struck,
    lost: ran.lost,
    duplicateSends: ran.duplicateSends,
    sentAfterDeadline: ran.sentAfterDeadline,
    mostHops: ran.mostHops,
    drainedAfterS: ran.drainedAfterS,
  };
}

function lineOf(row: IsolationRow): string {
  const { struck } = row;
  const ended = [
    `${struck.delivered} of ${struck.published} delivered`,
    ...(struck.deadLettered === 0 ? [] : [`${struck.deadLettered} dead-lettered`]),
    ...(struck.queued === 0 ? [] : [`${struck.queued} still queued`]),
    ...(row.lost === 0 ? [] : [`${row.lost} LOST`]),
  ].join(', ');
  return (
    `${row.system.padEnd(20)} ${row.fault.padEnd(5)}  healthy p50 ${ms(row.healthyP50Ms)} (calm ${ms(row.calmP50Ms)}), p99 ${ms(row.healthyP99Ms)} (calm ${ms(row.calmP99Ms)}), ` +
    `ratio ${row.ratioP99.toFixed(2)}, recovery ${row.recoveryRatioP99.toFixed(2)}, bimodal ${row.bimodalRatioP99.toFixed(2)}; ${row.healthyDelivered} of ${row.healthyPublished} delivered; ` +
    `struck: ${ended}, ${row.mostHops} hops, drained ${row.drainedAfterS.toFixed(0)} s after the fault; ${row.duplicateSends} duplicate sends`
  );
}

function goalsOf({ most }: Case, rows: readonly IsolationRow[]): readonly (readonly [boolean, string])[] {
  const of = (figure: (row: IsolationRow) => number): number => median(rows.map(figure));
  const [ratio, recovery, bimodal] = [
    of((r) => r.ratioP99),
    of((r) => r.recoveryRatioP99),
    of((r) => r.bimodalRatioP99),
  ];
  const hops = Math.max(...rows.map(({ mostHops }) => mostHops));
  const delivered = rows.every(({ healthyDelivered, healthyPublished }) => healthyDelivered === healthyPublished);
  const none = rows.every(({ lost, sentAfterDeadline }) => lost === 0 && sentAfterDeadline === 0);
  return [
    [ratio <= most && delivered, `healthy p99 ${ratio.toFixed(2)} times calm, at most ${most}, and all delivered`],
    [recovery <= RECOVERY_MOST, `${recovery.toFixed(2)} times calm in recovery, at most ${RECOVERY_MOST}`],
    [bimodal <= BIMODAL_MOST, `bimodal p99 ${bimodal.toFixed(2)} times its calls' own, at most ${BIMODAL_MOST}`],
    [none && hops <= HOPS_MOST, `no order lost or sent after its deadline, at most ${HOPS_MOST} hops (${hops})`],
  ];
}

function ms(value: number): string {
  return value === Number.POSITIVE_INFINITY ? 'never' : `${Math.round(value).toLocaleString('en')} ms`;
}
