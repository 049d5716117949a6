#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import yargs, { type Argv, type CommandModule } from 'yargs';
import { messageOf, OrderlaneError } from '../errors.ts';
import { didYouMean, nearest } from '../spelling.ts';
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts';

/** The commands, and how to load each: only the one that runs is. */
const COMMANDS: Readonly<Record<string, { describe: string; load(): Promise<{ command: CommandModule }> }>> = {
  work: {
    describe: 'Take orders from the queue and deliver each to its merchant',
    load: async () => await import('./work.ts'),
  },
  top: {
    describe: 'Watch a running process: rate, budgets, shards, and the worst lanes with their gates',
    load: async () => await import('./top.ts'),
  },
  doctor: {
    describe: 'Check broker, merchants, handler and machine against the settings of work',
    load: async () => await import('./doctor.ts'),
  },
  lint: {
    describe: 'Check settings, merchant directory and handler without a broker, as in CI',
    load: async () => await import('./lint.ts'),
  },
  publish: {
    describe: 'Put orders on the queue, from a file, standard input or a generator',
    load: async () => await import('./publish.ts'),
  },
  dlq: {
    describe: 'Look at dead letters, replay them, drop them',
    load: async () => await import('./dlq.ts'),
  },
  merchants: {
    describe: 'Run simulated merchants, to try things on',
    load: async () => await import('./merchants.ts'),
  },
  demo: {
    describe: 'Run all of it here for a minute: a broker, merchants, a publisher and work',
    load: async () => await import('./demo.ts'),
  },
};

const NARROWEST = 80;
const WIDEST = 100;

function version(): string {
  const { version: own } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return own;
}

/** What all commands share. */
function program(args: readonly string[]): Argv {
  const built: Argv = yargs([...args])
    .scriptName('orderlane')
    .locale('en')
    .updateStrings({ 'Not enough arguments following: %s': '%s: expected a value; got none' })
    .parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': false })
    .wrap(Math.min(Math.max(process.stdout.columns ?? WIDEST, NARROWEST), WIDEST))
    .help('help', 'Show this help')
    .alias('help', 'h')
    .version('version', 'Show the version', version())
    .epilogue(EXIT_CODES_HELP)
    .exitProcess(false)
    .showHelpOnFail(false)
    .fail((message: string | null, error) => {
      // yargs' own findings come as text, with or without an error of its own; what a command threw comes without text.
      if (message === null) throw error;
      throw new OrderlaneError('USAGE', message.replace(/^(\S+)(?=: expected a value)/, dashed));
    })
    .middleware((argv) => refuseUnknown(argv, built), true);
  return built;
}

/** Done by hand, because yargs' strict mode names no option with its dashes and proposes none. */
function refuseUnknown(argv: Readonly<Record<string, unknown>>, program: Argv): void {
  // Help is printed before a command's own words, such as the ls of dlq, are taken off the line.
  if (argv['help'] === true) return;
  const known = program.parsed === false ? [] : Object.keys(program.parsed.aliases);
  // yargs adds a camelCase twin to each option; the twin of an unknown one is not news.
  const twins = new Set(
    Object.keys(argv)
      .filter((name) => name.includes('-'))
      .map(camelCase),
  );
  const problems = Object.keys(argv)
    .filter((name) => !['_', '--', '$0', ...known].includes(name) && !twins.has(name))
    .map((name) => `Unknown option ${dashed(name)}.${didYouMean(nearestOption(name, known))}`);
  const [, ...surplus] = [argv['_'] ?? []].flat();
  for (const word of [...surplus, ...[argv['--'] ?? []].flat()])
    problems.push(`Unexpected argument ${JSON.stringify(word)}.`);
  const [first] = problems;
  if (first === undefined) return;
  const list = `${problems.length} problems with the command line:\n  ${problems.join('\n  ')}`;
  throw new OrderlaneError('USAGE', problems.length === 1 ? first : list);
}

function camelCase(name: string): string {
  return name.replace(/-+(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function dashed(name: string): string {
  return `${name.length === 1 ? '-' : '--'}${name}`;
}

function nearestOption(name: string, known: readonly string[]): string | undefined {
  const near = nearest(
    name,
    known.filter((candidate) => candidate.length > 1),
  );
  return near === undefined ? undefined : dashed(near);
}

/** Runs one command line. A command says its exit code with `process.exitCode`, or throws. */
async function run(args: readonly string[]): Promise<void> {
  const [first] = args;
  const chosen = first !== undefined && Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  if (chosen !== undefined) {
    const { command } = await chosen.load();
    const { builder } = command;
    const build = (y: Argv): Argv => {
      const built = typeof builder === 'function' ? (builder(y) as Argv) : y.options(builder ?? {});
      return built.epilogue(EXIT_CODES_HELP);
    };
    await program(args)
      .command({ ...command, builder: build })
      .parseAsync();
    return;
  }
  const overview = program(args).usage('Usage: $0 <command> [options]\n\nEvery merchant gets its own lane.');
  for (const [name, { describe }] of Object.entries(COMMANDS)) overview.command(name, describe);
  if (first === undefined) {
    process.exitCode = EXIT.usage.code;
    process.stderr.write(`${await overview.getHelp()}\n`);
    return;
  }
  if (!first.startsWith('-') && first !== 'help') {
    throw new OrderlaneError('USAGE', `Unknown command ${first}.${didYouMean(nearest(first, Object.keys(COMMANDS)))}`);
  }
  await overview.parseAsync();
}

/** Whether stacks are wanted; read by hand, because the settings themselves may be what is wrong. */
function debugging(args: readonly string[]): boolean {
  const text = args.join(' ');
  const flag = /(?:^| )(?:--log-level|-l)[ =]?(\w+)/.exec(text)?.[1];
  return /^(?:debug|trace)$/.test(flag ?? process.env['ORDERLANE_LOG_LEVEL'] ?? '');
}

function complain(thrown: unknown, withStack: boolean): void {
  const lines = [messageOf(thrown)];
  if (withStack) {
    lines.length = 0;
    for (let at = thrown; at !== undefined; at = at instanceof Error ? at.cause : undefined) {
      lines.push(at instanceof Error ? (at.stack ?? messageOf(at)) : messageOf(at));
    }
  }
  process.stderr.write(`orderlane: ${lines.join('\ncaused by: ')}\n`);
}

/** Standard output and error may be pipes that are still full. A reader that is stuck is not waited for long. */
async function written(): Promise<void> {
  const flushed = [process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write('', resolve)));
  await Promise.race([Promise.all(flushed), new Promise((resolve) => setTimeout(resolve, 1000))]);
}

const args = process.argv.slice(2);
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // The reader has had enough, as `head` does; that is no error of ours.
    if (error.code !== 'EPIPE') process.exit(EXIT.fatal.code);
  });
}
process.on('uncaughtException', (error) => {
  complain(error, debugging(args));
  process.exit(EXIT.fatal.code);
});
if (process.connected) {
  // Whoever started us with a channel wants us gone when it is, however it went.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.channel?.unref();
}
try {
  await run(args);
} catch (error) {
  complain(error, debugging(args));
  process.exitCode = exitCodeOf(error);
}
await written();
process.exit();
