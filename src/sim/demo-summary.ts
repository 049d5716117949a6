import type { DemoResult } from './demo.ts';

/** The summary as `--json` prints it. */
export interface DemoJson {
  readonly published: number;
  readonly delivered: number;
  readonly deadLettered: number;
  readonly parked: number;
  readonly stillQueued: number;
  readonly lost: number;
  readonly duplicateSends: number;
  /** From the intended publish to the merchant's answer, healthy merchants only. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly healthyPublished: number;
  readonly healthyDelivered: number;
  readonly retried: number;
  readonly elapsedMs: number;
}

export function summaryOf(result: DemoResult): { readonly text: string; readonly json: DemoJson } {
  const { verdict, stats, elapsedMs } = result;
  const { published, delivered, deadLettered, parked, stillQueued, lost, duplicateSends, healthy } = verdict;
  const json: DemoJson = {
    published,
    delivered,
    deadLettered,
    parked,
    stillQueued,
    lost,
    duplicateSends,
    p50Ms: rounded(healthy.p50Ms),
    p99Ms: rounded(healthy.p99Ms),
    healthyPublished: healthy.published,
    healthyDelivered: healthy.delivered,
    retried: stats?.retried ?? 0,
    elapsedMs: Math.round(elapsedMs),
  };
  return { text: textOf(result, json), json };
}

function textOf({ plan, ills, deadByReason, deadMerchants, verdict }: DemoResult, json: DemoJson): string {
  const illNames = [...ills].map(([merchant, ill]) => `${merchant} (${ill})`).join(', ');
  const healthyDead = [...deadMerchants].filter((merchant) => !ills.has(merchant)).length;
  const reasons = [...deadByReason].map(([reason, count]) => `${count} ${reason}`).join(', ');
  const row = (name: string, value: number, note = ''): string =>
    `  ${name.padEnd(16)}${value.toLocaleString('en').padStart(9)}${note === '' ? '' : `   ${note}`}\n`;
  const healthyMissing = json.healthyPublished - json.healthyDelivered;
  return (
    `\n${plan.rate} orders/s for ${(plan.durationMs / 1000).toLocaleString('en')} s to ${plan.merchants} merchants.\nNot well: ${illNames}.\n\n` +
    row('published', json.published, 'confirmed by the broker') +
    row('delivered', json.delivered, "accepted, by the merchants' own count") +
    row(
      'dead-lettered',
      json.deadLettered,
      reasons === '' ? '' : `${reasons}${healthyDead === 0 ? '; none of a healthy merchant' : ''}`,
    ) +
    (json.parked === 0 ? '' : row('parked', json.parked, 'maybe sent: for a person to decide')) +
    row(
      'still queued',
      json.stillQueued,
      json.stillQueued === 0 ? '' : 'waiting or on their way to another attempt when it ended',
    ) +
    row('lost', json.lost, json.lost === 0 ? 'every order is in one of the rows above' : verdict.lostKeys.join(' ')) +
    row('duplicate sends', json.duplicateSends, 'sends that no scheduled attempt explains') +
    `\n  Healthy merchants: ${json.healthyDelivered.toLocaleString('en')} of ${json.healthyPublished.toLocaleString('en')} delivered` +
    `${json.p50Ms === null ? '' : `, from publish to answer p50 ${json.p50Ms} ms, p99 ${json.p99Ms} ms`}.\n` +
    `  ${healthyMissing === 0 ? 'The slow, the silent and the failing one held up nobody but themselves.' : `${healthyMissing} of theirs were still on their way.`}\n`
  );
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
