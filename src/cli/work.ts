import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv, CommandModule } from 'yargs';
import { formatDuration } from '../duration.ts';
import type { Log } from '../log.ts';
import { misspelledVariables, type Options } from '../options.ts';
import type { Ended, Running, start as Start } from '../run.ts';
import { EXIT } from './exit-codes.ts';
import { declareSettings, optionsOf, SETTINGS_EPILOGUE } from './work-settings.ts';

/** After a signal, how long what is only beginning or ending is waited for. */
const GRACE_MS = 1000;

export const command: CommandModule = {
  command: 'work',
  describe: 'Take orders from the queue and deliver each to its merchant',
  builder: declareFlags,
  handler: work,
};

function declareFlags(yargs: Argv): Argv {
  yargs.usage(
    'Usage: $0 work (--merchants FILE | --url URL | --handler FILE) [options]\n\n' +
      'Takes orders from the queue and delivers each to its merchant.',
  );
  return declareSettings(yargs)
    .example("$0 work --url 'https://pos.example.com/{merchantId}/orders'", '')
    .example('$0 work -b amqps://user:password@broker.example.com -Q orders --merchants merchants.json', '')
    .example('$0 work --handler ./deliver.ts --merchants merchants.json -c 8000', '')
    .epilogue(
      `${SETTINGS_EPILOGUE}\n\nThe first SIGTERM or SIGINT finishes what is in hand, the second stops at once.\n`,
    );
}

async function work(flags: Readonly<Record<string, unknown>>): Promise<void> {
  for (const hint of misspelledVariables(process.env)) process.stderr.write(`orderlane: ${hint}\n`);
  const options = optionsOf(flags);
  // Loaded here, so that --help and a bad option are answered at once.
  const [{ createLog }, { start }] = await Promise.all([import('../log.ts'), import('../run.ts')]);
  const log = createLog({ level: options.logLevel, format: options.logFormat, fields: options.logFields });
  try {
    process.exitCode = await supervise(start, options, log);
  } finally {
    await log.flush();
  }
}

/**
 * Runs until it is over by itself or by signals, and resolves to the exit code. The first SIGTERM or SIGINT drains, the
 * second stops at once, a third ends the process as it would any other.
 */
export async function supervise(start: typeof Start, options: Options, log: Log): Promise<number> {
  const { logger } = log;
  const asked = Promise.withResolvers<void>();
  const forced = Promise.withResolvers<void>();
  let running: Running | undefined;
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals += 1;
    if (signals === 1) {
      const { inFlight, waiting } = running?.stats() ?? { inFlight: 0, waiting: 0 };
      const limit = formatDuration(options.shutdownTimeoutMs);
      logger.info(
        { signal, inFlight, waiting },
        `takes no more orders and waits up to ${limit} for ${inFlight} in flight; a second signal stops at once`,
      );
      running?.drain();
      asked.resolve();
    } else {
      logger.warn({ signal }, 'stops at once; what is in hand goes back to the broker');
      unlisten();
      running?.stop();
      forced.resolve();
    }
  };
  const unlisten = (): void => {
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  try {
    const begun = performance.now();
    // Until it has started there is nothing to drain: what is left of the start is not waited for.
    running = await Promise.race([start(options, log), after(asked.promise)]);
    if (running === undefined) return signals > 1 ? EXIT.fatal.code : EXIT.clean.code;
    if (signals > 0) running.drain();
    const ended = await Promise.race([running.done, after(forced.promise)]);
    if (ended !== undefined) logger.info({ durationMs: Math.round(performance.now() - begun) }, summary(ended));
    if (ended?.stuck === true) {
      logger.error({}, 'a thread is in a native call that does not end; the process kills itself');
      await log.flush();
      process.kill(process.pid, 'SIGKILL'); // process.exit would wait for the thread
    }
    if (ended?.error !== undefined) throw ended.error;
    if (signals > 1) return EXIT.fatal.code;
    return ended?.timedOut === true ? EXIT.drainTimedOut.code : EXIT.clean.code;
  } finally {
    unlisten();
  }
}

async function after(event: Promise<void>): Promise<undefined> {
  await event;
  await sleep(GRACE_MS);
}

/** What became of everything, in one line. */
export function summary({ stats, unfinished, timedOut }: Ended): string {
  const dead = Object.entries(stats.deadLettered).filter(([, count]) => count > 0);
  const deadTotal = dead.reduce((sum, [, count]) => sum + count, 0);
  const counts: readonly (readonly [number, string])[] = [
    [stats.retried, 'retried'],
    [stats.deferred, 'deferred'],
    [deadTotal, `dead-lettered (${dead.map(([reason, count]) => `${count} ${reason}`).join(', ')})`],
    [stats.parked, 'parked'],
    [unfinished, timedOut ? 'unfinished when the time was up' : 'unfinished'],
  ];
  const parts = [`${stats.received} received`, `${stats.outcomes.delivered} delivered`];
  for (const [count, what] of counts) if (count > 0) parts.push(`${count} ${what}`);
  return `ended: ${parts.join(', ')}`;
}
