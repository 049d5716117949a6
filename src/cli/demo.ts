import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Argv, CommandModule } from 'yargs';
import { parseDuration } from '../duration.ts';
import { OrderlaneError } from '../errors.ts';
import { startBroker } from '../sim/broker.ts';
import { type Demo, runDemo } from '../sim/demo.ts';
import { summaryOf } from '../sim/demo-summary.ts';
import { EXIT } from './exit-codes.ts';
import { LiveView } from './live-view.ts';

interface Flags {
  readonly duration: string;
  readonly rate: string;
  readonly merchants: string;
  readonly seed: string;
  readonly broker: string | undefined;
  readonly connectWait: string;
  readonly json: boolean;
}

export const command: CommandModule = {
  command: 'demo',
  describe: 'Run all of it here for a minute: a broker, merchants, a publisher and work',
  builder: (yargs): Argv =>
    yargs
      .usage(
        'Usage: $0 demo [options]\n\nStarts a private RabbitMQ, simulated merchants of which some are slow, one is silent and one fails,\n' +
          'a publisher, and work, each as a process of its own, and shows what happens. Nothing is left behind.\n' +
          'The first Ctrl-C ends it early, with its summary; the second ends it at once.',
      )
      .option('duration', {
        type: 'string',
        requiresArg: true,
        default: '60s',
        describe: 'How long orders are published',
      })
      .option('rate', { type: 'string', requiresArg: true, default: '300', describe: 'Orders per second' })
      .option('merchants', {
        type: 'string',
        requiresArg: true,
        default: '200',
        describe: 'How many there are, at least 10',
      })
      .option('seed', { type: 'string', requiresArg: true, default: '1', describe: 'Decides who orders what, when' })
      .option('broker', {
        type: 'string',
        requiresArg: true,
        describe: 'A RabbitMQ that you have, instead of a private one; also as ORDERLANE_BROKER',
      })
      .option('connect-wait', {
        type: 'string',
        requiresArg: true,
        default: '10s',
        describe: 'How long to try the broker at start',
      })
      .option('json', {
        type: 'boolean',
        default: false,
        describe: 'Print the summary as one JSON object, as the last line',
      })
      .example('$0 demo --duration 20s --rate 1000', ''),
  handler: demo,
};

async function demo(argv: Readonly<Record<string, unknown>>): Promise<void> {
  const flags = argv as unknown as Flags;
  const durationMs = parseDuration(flags.duration);
  if (durationMs === undefined || durationMs < 1000) {
    throw new OrderlaneError(
      'USAGE',
      `--duration: expected at least 1s, such as 60s; got ${JSON.stringify(flags.duration)}`,
    );
  }
  const connectWaitMs = parseDuration(flags.connectWait);
  if (connectWaitMs === undefined) {
    throw new OrderlaneError(
      'USAGE',
      `--connect-wait: expected a duration such as 10s; got ${JSON.stringify(flags.connectWait)}`,
    );
  }
  const plan = {
    connectWaitMs,
    durationMs,
    rate: whole('rate', flags.rate, 1, 20_000),
    merchants: whole('merchants', flags.merchants, 10, 100_000),
    seed: whole('seed', flags.seed, 0, 0xffff_ffff),
  };
  const interrupted = new AbortController();
  const view = new LiveView(process.stderr, durationMs);
  const dir = await mkdtemp(join(tmpdir(), 'orderlane-demo-'));
  const onSignal = (): void => {
    if (!interrupted.signal.aborted) {
      interrupted.abort(new OrderlaneError('FATAL', 'interrupted'));
      return;
    }
    // Its processes, and the broker with its folder, end when we do.
    rmSync(dir, { recursive: true, force: true });
    process.exit(EXIT.fatal.code);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const given = flags.broker ?? process.env['ORDERLANE_BROKER'];
  try {
    view.say(given === undefined ? 'starting a private RabbitMQ (a few seconds)' : 'using the broker that was given');
    const broker = given === undefined ? await startBroker({ signal: interrupted.signal }) : undefined;
    try {
      const url = broker?.url ?? (given as string);
      const whole: Demo = { ...plan, dir, broker: url, main: process.argv[1] as string, signal: interrupted.signal };
      const result = await runDemo(whole, view);
      view.end();
      const { text, json } = summaryOf(result);
      if (flags.json) process.stdout.write(`${JSON.stringify(json)}\n`);
      else process.stdout.write(text);
      if (json.lost > 0 || json.duplicateSends > 0) process.exitCode = EXIT.fatal.code;
    } finally {
      view.end();
      await broker?.stop();
    }
  } catch (error) {
    // Before there is anything to sum up, Ctrl-C simply ends it.
    if (!interrupted.signal.aborted) throw error;
    view.say('interrupted before the first order');
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await rm(dir, { recursive: true, force: true });
  }
}

function whole(name: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new OrderlaneError(
    'USAGE',
    `--${name}: expected a whole number from ${least} to ${most}; got ${JSON.stringify(text)}`,
  );
}
