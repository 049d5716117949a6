import type { Argv, CommandModule } from 'yargs';
import { OrderlaneError } from '../errors.ts';
import { type Merchants, type MerchantsStats, startMerchants } from '../sim/merchants.ts';
import { ScenarioFile } from '../sim/scenario.ts';

const STATUS_INTERVAL_MS = 500;

export const command: CommandModule = {
  command: 'merchants',
  describe: 'Run simulated merchants, to try things on',
  builder: declareFlags,
  handler: ({ port, host, scenario, json }) =>
    simulate(portOf(String(port)), String(host), typeof scenario === 'string' ? scenario : undefined, json === true),
};

/** By hand and not as an example: yargs would break the command in the middle. */
const SCENARIO_HELP = `Without a scenario all of them accept all orders; examples/scenario.json is one that has troubles.
To deliver to them:
  orderlane work --url 'http://127.0.0.1:8080/{merchantId}/orders' --allow-host 127.0.0.1

A scenario, every field optional but "merchants" of a rule:
  {
    "seed": 1,
    "default": { "latency": { "distribution": "log-normal", "median": "80ms", "sigma": 0.5 } },
    "rules": [
      { "merchants": { "ids": ["m-4"] }, "silent": true, "from": "10s", "until": "40s" },
      { "merchants": { "prefix": "flaky-" }, "failing": { "status": 500, "fraction": 0.2 } },
      { "merchants": { "fraction": 0.05 }, "latency": { "distribution": "fixed", "value": "5s" } }
    ]
  }
The first rule that names a merchant and whose time has come decides. It and the default may have:
  latency      fixed (value), uniform (min, max), log-normal (median, sigma),
               bimodal (fast, slow, slowFraction)
  silent       true: takes the order and never answers
  failing      status, fraction of requests (1)
  resetting    fraction of requests (1) whose connection is reset
  rateLimited  perSecond, retryAfter, status 429 or 503 (429)
`;

function declareFlags(yargs: Argv): Argv {
  return yargs
    .usage(
      'Usage: orderlane merchants [options]\n\nRuns simulated merchants that take orders well or badly, and counts what they get.',
    )
    .option('port', {
      type: 'string',
      requiresArg: true,
      default: '8080',
      describe: 'Port to listen on; 0 for a free one',
    })
    .option('host', {
      type: 'string',
      requiresArg: true,
      default: '127.0.0.1',
      describe: 'Address to listen on; whoever reaches it may change the scenario',
    })
    .option('scenario', {
      type: 'string',
      requiresArg: true,
      describe: 'JSON file that says how they behave; read again when it changes',
    })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Print {"url": ...} when ready, and totals at the end',
    })
    .epilogue(SCENARIO_HELP);
}

async function simulate(port: number, host: string, path: string | undefined, json: boolean): Promise<void> {
  const file = path === undefined ? undefined : new ScenarioFile(path);
  const merchants = await startMerchants({ port, host, ...(file === undefined ? {} : { scenario: file.scenario }) });
  const signal = firstSignal();
  const unwatch = file === undefined ? () => {} : follow(merchants, file);
  const { url, urlTemplate } = merchants;
  say(json ? JSON.stringify({ url, urlTemplate }) : `Simulated merchants at ${url}\nOrders go to ${urlTemplate}`);
  const stopStatus = !json && process.stdout.isTTY ? showStatus(merchants) : () => {};
  await signal;
  stopStatus();
  unwatch();
  const stats = merchants.stats(0);
  await merchants.stop();
  const totals = { requests: stats.requests, accepted: stats.accepted, duplicates: stats.messages.duplicates };
  say(json ? JSON.stringify(totals) : summary(totals));
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new OrderlaneError('USAGE', `--port: expected 0 to 65535, got ${JSON.stringify(text)}`);
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process as it would any other. */
function firstSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}

function follow(merchants: Merchants, file: ScenarioFile): () => void {
  return file.watch(
    (scenario) => {
      merchants.setScenario(scenario);
      complain(`${file.file}: changed, read again`);
    },
    (problem) => complain(`${problem}; the last good scenario holds`),
  );
}

/** Keeps one line of the terminal up to date; returns what ends it. */
function showStatus(merchants: Merchants): () => void {
  let before = merchants.stats(0);
  const timer = setInterval(() => {
    const stats = merchants.stats(0);
    const perSecond = ((stats.requests - before.requests) * 1000) / STATUS_INTERVAL_MS;
    before = stats;
    process.stdout.write(`\r\x1b[2K${statusLine(stats, Math.max(0, perSecond))}`);
  }, STATUS_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    process.stdout.write('\r\x1b[2K');
  };
}

function statusLine({ requests, inFlight, messages, merchants }: MerchantsStats, perSecond: number): string {
  const parts = [
    `${count(requests)} requests (${count(perSecond)}/s)`,
    `${count(inFlight)} in flight`,
    `${count(messages.accepted)} accepted`,
    `${count(messages.duplicates)} duplicates`,
    `${count(merchants)} merchants`,
  ];
  return parts.join('  ').slice(0, (process.stdout.columns || 80) - 1);
}

function summary({
  requests,
  accepted,
  duplicates,
}: {
  requests: number;
  accepted: number;
  duplicates: number;
}): string {
  return `${count(requests)} requests, ${count(accepted)} accepted, ${count(duplicates)} duplicate sends`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function complain(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[2K' : ''}orderlane merchants: ${text}\n`);
}
