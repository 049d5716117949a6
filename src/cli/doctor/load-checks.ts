import type { Load } from '../../broker/rabbitmq/management.ts';
import type { Survey } from '../../broker/rabbitmq/survey.ts';
import { formatDuration } from '../../duration.ts';
import type { Options } from '../../options.ts';
import { type Finding, ok, warn } from './finding.ts';

type Budget = Pick<Options, 'concurrency' | 'shards' | 'timeoutMs' | 'deadlineMs'>;

/** HTTP calls a thread can make a second, at best; what it does beside them takes from that. */
const CALLS_A_THREAD = 5_000;
/** The share of merchants that hang at once, for which there should be room. */
const HANGING = 0.3;
/** Simulated and measured: an ordinary merchant answers within this. */
const ANSWER_S = 0.5;

/** What waits in the queue, and whether it can be sent before its deadline. */
export function backlogCheck({ source }: Survey, { shards, deadlineMs }: Budget, cores: number): readonly Finding[] {
  if (source.standing.kind !== 'right') return [];
  const check = 'backlog';
  const { messages = 0, consumers = 0 } = source.standing;
  // A process has a consumer for each channel, so these do not count processes.
  const by = consumers === 0 ? 'nobody takes them' : `${consumers} consumers take them (a process has several)`;
  const perSecond = CALLS_A_THREAD * Math.min(shards, Math.max(1, cores));
  const seconds = messages / perSecond;
  const what = `${messages.toLocaleString('en')} ready in ${source.name}, and ${by}`;
  if (seconds * 1000 > deadlineMs) {
    const fix = `start more processes, or raise --deadline: at best ${perSecond.toLocaleString('en')}/s here, this takes ${Math.ceil(seconds)} s`;
    return [
      warn(check, `${what}: some will be older than --deadline ${formatDuration(deadlineMs)} and never be sent`, fix),
    ];
  }
  if (messages > 0 && consumers === 0) return [warn(check, what, 'start work')];
  return [ok(check, what)];
}

/** Dead letters are somebody's orders: they wait for a person. */
export function deadLettersCheck({ dead, ambiguous }: Survey): readonly Finding[] {
  const check = 'dead letters';
  if (dead === undefined && ambiguous === undefined) return [];
  const [of, maybe] = [dead ?? 0, ambiguous ?? 0];
  if (of + maybe === 0) return [ok(check, 'none')];
  const what = `${of.toLocaleString('en')} dead, ${maybe.toLocaleString('en')} that may have been sent`;
  return [warn(check, what, `orderlane dlq ls says why${maybe > 0 ? ', with --from ambiguous for the latter' : ''}`)];
}

/**
 * Whether the budget has room for the rate: what is in flight is the rate times how long a call takes (Little's law), and
 * calls that hang take the whole time-out until it is known which merchants do. `load` is undefined when nobody tells, though
 * the management API may have been `asked`.
 */
export function budgetCheck(budget: Budget, longestMs: number, load: Load | undefined, asked: boolean): Finding {
  const check = 'budget';
  const { concurrency } = budget;
  const seconds = longestMs / 1000;
  const perSecond = Math.max(load?.publishedPerSecond ?? 0, load?.deliveredPerSecond ?? 0);
  if (perSecond === 0) {
    const bears = Math.floor(concurrency / (HANGING * seconds + (1 - HANGING) * ANSWER_S));
    const what = `--concurrency ${concurrency} has room for ${bears.toLocaleString('en')} orders/s with ${HANGING * 100}% of merchants hanging`;
    if (load !== undefined) return ok(check, `${what}; no order came in just now`);
    const mend = asked ? 'see why --management-url does not tell it' : 'give --management-url';
    const fix = `${mend}, or compare it with the rate of orderlane_orders_received_total in /metrics`;
    return warn(check, `${what}; the rate was not seen`, fix);
  }
  const rate = `${perSecond.toLocaleString('en', { maximumFractionDigits: 1 })} orders/s`;
  const usual = Math.ceil(perSecond * ANSWER_S);
  const bad = Math.ceil(perSecond * (HANGING * seconds + (1 - HANGING) * ANSWER_S));
  const advice = `set --concurrency to ${Math.min(65_535, bad)} or more (45 kB a call), or a shorter --timeout, or start more processes`;
  if (usual > concurrency) {
    return warn(check, `${rate} need about ${usual} calls in flight, more than --concurrency ${concurrency}`, advice);
  }
  if (bad > concurrency) {
    const what = `${rate}: with ${HANGING * 100}% of merchants hanging for ${formatDuration(longestMs)} up to ${bad} calls are in flight, more than --concurrency ${concurrency}`;
    return warn(check, what, advice);
  }
  return ok(
    check,
    `${rate} need up to ${bad} calls in flight with ${HANGING * 100}% of merchants hanging, of ${concurrency}`,
  );
}
