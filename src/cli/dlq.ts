import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConsumeMessage } from 'amqplib';
import type { CommandModule } from 'yargs';
import { DeadLetterCounts, isMeant } from '../admin/dead-letters.ts';
import { Replay } from '../admin/replay.ts';
import { readDeadLetter } from '../broker/codec/dead-letter.ts';
import { type Held, QueueWalk } from '../broker/rabbitmq/queue-walk.ts';
import { replayed } from '../broker/rabbitmq/republish.ts';
import { names } from '../broker/rabbitmq/topology.ts';
import { systemClock } from '../clock.ts';
import type { DeadLetter } from '../dead-letter.ts';
import { messageOf, OrderlaneError } from '../errors.ts';
import { type DlqOptions, declareFlags, type Plan, readOptions, readPlan } from './dlq-flags.ts';
import { printed, type Report, reportText, say, showProgress } from './dlq-report.ts';
import { DlqSession } from './dlq-session.ts';
import { EXIT } from './exit-codes.ts';

export const command: CommandModule = {
  command: 'dlq [action]',
  describe: 'Look at dead letters, replay them, drop them',
  builder: declareFlags,
  handler: dlq,
};

/** After a signal, how long open confirms are waited for. */
const CONFIRM_WAIT_MS = 5_000;
/** Rounds that come to nothing before a replay gives up. */
const MAX_VAIN_ROUNDS = 3;
const VAIN_ROUND_WAIT_MS = 500;

/** One run of the command: what was asked for, and what it works with. */
interface Run {
  readonly plan: Plan;
  readonly options: DlqOptions;
  /** Where the dead letters are. */
  readonly queue: string;
  readonly session: DlqSession;
  readonly stopped: AbortSignal;
  /** Ages are counted from here. */
  readonly startedAt: number;
  readonly report: Report;
}

async function dlq(flags: Readonly<Record<string, unknown>>): Promise<void> {
  const plan = readPlan(flags);
  const options = readOptions(flags);
  const queue = names[plan.from](options.queue);
  const session = new DlqSession(options, queue, plan.action === 'replay' && plan.execute, say);
  const stopped = firstSignal();
  const begun = performance.now();
  const report: Report = {
    plan,
    queue,
    to: options.queue,
    walked: 0,
    expected: 0,
    all: new DeadLetterCounts(),
    meant: new DeadLetterCounts(),
    listed: [],
    changed: 0,
    joined: 0,
    diedAgain: 0,
    unconfirmed: 0,
    interrupted: false,
    seconds: 0,
  };
  const run: Run = { plan, options, queue, session, stopped, startedAt: systemClock.wall(), report };
  try {
    const starting = session.start();
    starting.catch(() => undefined); // after a signal nobody waits for it
    await Promise.race([starting, once(stopped, 'abort')]);
    const stopProgress = showProgress(report);
    let failure: unknown;
    try {
      if (!stopped.aborted) await (plan.action === 'replay' && plan.execute ? replay(run) : survey(run));
    } catch (error) {
      failure = error;
    }
    stopProgress();
    report.interrupted = stopped.aborted;
    report.seconds = (performance.now() - begun) / 1000;
    if (failure === undefined || report.changed > 0) process.stdout.write(reportText(report, systemClock.wall()));
    if (failure !== undefined) throw failure;
    if (report.unconfirmed > 0 || report.interrupted) process.exitCode = EXIT.fatal.code;
  } finally {
    await session.stop();
  }
}

/** Goes through the queue once and gives all of it back, but for what is to be dropped. */
async function survey(run: Run): Promise<void> {
  const { plan, session, report } = run;
  const walk = new QueueWalk(await session.connection(), run.queue);
  const toDrop: Held[] = [];
  const dropped = new Set<string>();
  let shown = 0;
  try {
    await through(walk, run, (message, held) => {
      const letter = count(run, message);
      if (letter === undefined) return;
      if (plan.action === 'ls' && report.listed.length < (plan.limit ?? 0)) report.listed.push(letter);
      if (plan.action === 'show' && shown < (plan.limit ?? 0)) {
        shown++;
        process.stdout.write(printed(message, letter, plan, systemClock.wall()));
      }
      if (plan.action !== 'drop' || !plan.execute) return;
      toDrop.push(held);
      dropped.add(nameOf(letter));
    });
    // Only a walk to the end has seen what is meant.
    if (!run.stopped.aborted) for (const held of toDrop) walk.ack(held);
  } catch (error) {
    const what = toDrop.length > 0 ? 'nothing was dropped' : 'nothing was changed';
    throw new OrderlaneError(
      'FATAL',
      `the queue was lost on the way, and ${what}: ${messageOf(error)}. Run it again.`,
      {
        cause: error,
      },
    );
  }
  const isSure = await walk.giveBack();
  if (toDrop.length === 0 || run.stopped.aborted) return;
  if (!isSure) {
    throw new OrderlaneError(
      'FATAL',
      `the connection was lost while ${toDrop.length} dead letters were being dropped: some may still be there. Run it again.`,
    );
  }
  report.changed = toDrop.length;
  if (walk.surplus > 0) await dropAgain(run, dropped);
}

/** There are more than there should be: new ones, or acknowledgements have come to nothing. What was dropped is not to be there. */
async function dropAgain(run: Run, dropped: ReadonlySet<string>): Promise<void> {
  for (let again = 1; again > 0 && !run.stopped.aborted; ) {
    again = 0;
    const walk = new QueueWalk(await run.session.connection(), run.queue);
    await through(walk, run, (message, held) => {
      if (dropped.has(nameOf(readDeadLetter(message))) && walk.ack(held)) again++;
    });
    await walk.giveBack();
  }
}

function nameOf({ identity, hop, fingerprint, endedAt }: DeadLetter): string {
  return `${hop}:${fingerprint}:${endedAt}:${identity}`;
}

/** A dead letter with what it takes to send it back. */
interface Arrival extends Held {
  readonly walk: QueueWalk;
  readonly body: Buffer;
  readonly properties: ConsumeMessage['properties'];
}

async function replay(run: Run): Promise<void> {
  const { plan, options, session, stopped, report } = run;
  const job = new Replay<Arrival>(
    { ratePerSecond: plan.ratePerSecond, limit: plan.limit, clock: systemClock },
    {
      publish: ({ body, properties }, letter, done) => {
        const wall = systemClock.wall();
        const isParked = plan.from === 'ambiguous';
        const of = { wall, deadline: wall + options.deadlineMs, why: plan.why, isParked };
        session.publish(body, replayed(run.queue, letter, properties, session.instance, of), () => {
          report.changed++;
          done();
        });
      },
      ack: (arrival) => arrival.walk.ack(arrival),
    },
  );
  let vain = 0;
  let isCounted = false;
  for (let round = 1; ; round++) {
    const walk = new QueueWalk(await session.connection(), run.queue);
    const before = { replayed: job.replayed, joined: job.joined, isCounted };
    const over = new AbortController();
    let lost: unknown;
    if (!isCounted) {
      report.all = new DeadLetterCounts();
      report.meant = new DeadLetterCounts();
    }
    try {
      await through(walk, run, (message, held) => {
        const letter = isCounted ? readDeadLetter(message) : count(run, message);
        // What dies while we are at work is for the next time.
        if (letter === undefined || (round > 1 && !isLate(run, letter))) return;
        // amqplib's body is a slice of what it has read from the socket, which a short one would keep in memory.
        job.offer(letter, () => ({
          ...held,
          walk,
          body: Buffer.from(message.content),
          properties: message.properties,
        }));
      });
      isCounted = true;
      const running = job.run(AbortSignal.any([stopped, over.signal]));
      await Promise.race([running, walk.lost, session.failed()]);
    } catch (error) {
      lost = error;
    }
    over.abort();
    if (stopped.aborted) await job.confirmed(AbortSignal.timeout(CONFIRM_WAIT_MS));
    const isSure = await walk.giveBack();
    // More than there should be, or nobody knows: letters that are new, or acknowledgements that came to nothing and are made up for.
    const isIdle = job.replayed === before.replayed && job.joined === before.joined;
    const hasMore = lost !== undefined || job.left > 0 || ((walk.surplus > 0 || !isSure) && !isIdle);
    job.endRound();
    if (!before.isCounted) report.joined = job.joined;
    report.diedAgain = job.diedAgain;
    report.unconfirmed = job.unconfirmed;
    if (stopped.aborted || !hasMore) return;
    if (lost === undefined) continue;
    if (lost instanceof OrderlaneError) throw lost;
    vain = job.replayed > before.replayed ? 0 : vain + 1;
    if (vain === MAX_VAIN_ROUNDS) {
      const text = `queue '${run.queue}' was lost ${vain} times in a row: ${messageOf(lost)}. What was not replayed is still there.`;
      throw new OrderlaneError('FATAL', text, { cause: lost });
    }
    say(`goes through ${run.queue} again: ${messageOf(lost)}`);
    await sleep(VAIN_ROUND_WAIT_MS, undefined, { signal: stopped }).catch(() => undefined);
  }
}

async function through(walk: QueueWalk, run: Run, visit: (message: ConsumeMessage, held: Held) => void): Promise<void> {
  const { report, stopped } = run;
  const stop = (): void => walk.stop();
  stopped.addEventListener('abort', stop, { once: true });
  try {
    await walk.run((message, held) => {
      report.walked = walk.seen;
      report.expected = Math.max(walk.expected, walk.seen);
      visit(message, held);
    });
    if (walk.isShared) say(`somebody else consumes from ${run.queue}: what they hold was not seen`);
  } finally {
    stopped.removeEventListener('abort', stop);
  }
}

/** Counts a message, and gives the letter if it is meant and within the limit. */
function count({ plan, report, startedAt }: Run, message: ConsumeMessage): DeadLetter | undefined {
  const letter = readDeadLetter(message);
  report.all.add(letter);
  if (!isMeant(letter, plan.filter, startedAt)) return undefined;
  const isOver = plan.action !== 'ls' && plan.limit !== undefined && report.meant.total >= plan.limit;
  if (isOver) return undefined;
  report.meant.add(letter);
  return letter;
}

function isLate({ plan, startedAt }: Run, letter: DeadLetter): boolean {
  return (letter.endedAt ?? 0) <= startedAt && isMeant(letter, plan.filter, startedAt);
}

/** Aborted by the first SIGTERM or SIGINT; a second one ends the process as it would any other. */
function firstSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGTERM', () => controller.abort());
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}
