import { emitKeypressEvents } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv, CommandModule } from 'yargs';
import { messageOf, OrderlaneError } from '../errors.ts';
import { bearerFrom } from '../merchant/secrets.ts';
import type { LanePage, ProcessReadings } from '../readings.ts';
import { plain, Screen } from './screen.ts';
import { Rate } from './stats-lines.ts';
import { SORTS, type Sort, sorted, topLines } from './top-lines.ts';

const EVERY_MS = 1000;
const ANSWER_LIMIT_MS = 5000;
/** As many as one page may have. */
const LANES = 1000;

export const command: CommandModule = {
  command: 'top',
  describe: 'Watch a running process: rate, budgets, shards, and the worst lanes with their gates',
  builder: declareFlags,
  handler: top,
};

function declareFlags(yargs: Argv): Argv {
  return yargs
    .usage(
      'Usage: $0 top [options]\n\nWatches a process that runs with --admin. Keys: s sorts by the next column, / filters by merchant, q quits.',
    )
    .option('url', {
      type: 'string',
      requiresArg: true,
      default: 'http://127.0.0.1:9464',
      describe: 'Its admin endpoint',
    })
    .option('token-file', { type: 'string', requiresArg: true, describe: 'FILE: its token, needed beyond loopback' })
    .option('sort', { type: 'string', requiresArg: true, default: 'worst', describe: `Lanes by ${SORTS.join(', ')}` })
    .option('filter', { type: 'string', requiresArg: true, describe: 'Only merchants whose ID contains this' })
    .option('once', { type: 'boolean', default: false, describe: 'Print it once and exit' })
    .option('json', { type: 'boolean', default: false, describe: 'Print {"stats": ..., "lanes": ...} once and exit' })
    .example([
      ['$0 work --admin 127.0.0.1:9464 ...', 'the process to watch'],
      ['$0 top', 'watch it'],
      ['$0 top --once --sort waiting', 'for a file or a chat'],
    ]);
}

interface Reading {
  readonly stats: ProcessReadings;
  readonly lanes: LanePage;
}

async function top(flags: Readonly<Record<string, unknown>>): Promise<void> {
  const authorization = await bearerFrom(flags['token-file'] as string | undefined, undefined);
  const read = reader(baseOf(String(flags['url'])), authorization);
  const sort = SORTS.find((each) => each === flags['sort']);
  if (sort === undefined) {
    throw new OrderlaneError(
      'USAGE',
      `--sort: expected one of ${SORTS.join(', ')}; got ${JSON.stringify(flags['sort'])}`,
    );
  }
  const filter = (flags['filter'] as string | undefined) ?? '';
  if (flags['json'] === true) {
    process.stdout.write(`${JSON.stringify(await read(sort, filter))}\n`);
    return;
  }
  if (flags['once'] === true || !process.stdout.isTTY || !process.stdin.isTTY) {
    const { stats, lanes } = await read(sort, filter);
    const shown = sorted(lanes.lanes, sort, filter);
    const lines = topLines({ stats, lanes: shown, total: lanes.total, sort, filter });
    process.stdout.write(`${lines.map(({ text }) => plain(text)).join('\n')}\n`);
    return;
  }
  await watch(read, sort, filter);
}

/** The base of the admin endpoint's addresses. */
function baseOf(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new OrderlaneError(
      'USAGE',
      `--url: expected a URL such as http://127.0.0.1:9464; got ${JSON.stringify(text)}`,
    );
  }
  return url;
}

type Read = (sort: Sort, filter: string) => Promise<Reading>;

function reader(base: URL, authorization: string | undefined): Read {
  const headers = authorization === undefined ? {} : { authorization };
  const get = async <T>(path: string): Promise<T> => {
    let response: Response;
    try {
      response = await fetch(new URL(path, base), { headers, signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
    } catch (error) {
      const why = messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
      throw new OrderlaneError('FATAL', `no process answers at ${base.origin}; is it started with --admin? (${why})`, {
        cause: error,
      });
    }
    if (response.status === 401) {
      throw new OrderlaneError(
        'USAGE',
        `${base.origin} needs its token: expected --token-file FILE with the right one`,
      );
    }
    if (!response.ok) throw new OrderlaneError('FATAL', `${base.origin}${path} answers ${response.status}`);
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw new OrderlaneError('FATAL', `${base.origin} is no admin endpoint of orderlane`, { cause: error });
    }
  };
  return async (sort, filter) => {
    // The process has no order of names: by merchant we sort those that are worst.
    const query = new URLSearchParams({
      limit: String(LANES),
      sort: sort === 'merchant' ? 'worst' : sort,
      contains: filter,
    });
    const [stats, lanes] = await Promise.all([
      get<ProcessReadings>('/stats'),
      get<LanePage>(`/lanes?${query.toString()}`),
    ]);
    return { stats, lanes };
  };
}

/** Draws until q. A process that does not answer is asked again: it may be starting anew. */
async function watch(read: Read, first: Sort, asked: string): Promise<void> {
  const screen = new Screen(process.stdout);
  const rate = new Rate();
  const quit = new AbortController();
  let [sort, filter, typing]: [Sort, string, boolean] = [first, asked, false];
  let last: Reading | undefined;
  let perSecond = 0;
  let trouble: string | undefined;
  const draw = (): void => {
    if (last === undefined) return;
    const { stats, lanes } = last;
    const shown = sorted(lanes.lanes, sort, filter);
    const { size } = screen;
    screen.draw(topLines({ stats, lanes: shown, total: lanes.total, sort, filter, size, typing, perSecond, trouble }));
  };
  const onKey = (text: string | undefined, key: { name?: string; ctrl?: boolean }): void => {
    if (key.ctrl === true && key.name === 'c') quit.abort();
    else if (typing) {
      if (key.name === 'return') typing = false;
      else if (key.name === 'escape') [filter, typing] = ['', false];
      else if (key.name === 'backspace') filter = filter.slice(0, -1);
      else if (text !== undefined && /^[^\p{Cc}]$/u.test(text)) filter += text;
    } else if (key.name === 'q') quit.abort();
    else if (key.name === 's') sort = SORTS[(SORTS.indexOf(sort) + 1) % SORTS.length] as Sort;
    else if (text === '/') typing = true;
    draw();
  };
  const end = (): void => quit.abort();
  last = await read(sort, filter); // before the terminal is changed: an error here is told plainly
  emitKeypressEvents(process.stdin);
  process.stdin.setRawMode(true).resume().on('keypress', onKey);
  process.once('SIGTERM', end);
  screen.open();
  try {
    while (!quit.signal.aborted) {
      perSecond = rate.next(performance.now(), last.stats.stats.outcomes.delivered);
      draw();
      await sleep(EVERY_MS, undefined, { signal: quit.signal }).catch(() => undefined); // q ends the sleep
      try {
        last = await read(sort, filter);
        trouble = undefined;
      } catch (error) {
        trouble = messageOf(error);
      }
    }
  } finally {
    process.off('SIGTERM', end);
    process.stdin.off('keypress', onKey).setRawMode(false).pause();
    screen.close();
  }
}
