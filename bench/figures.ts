/** Writes README's table of figures again, each from a result file: `node bench/figures.ts`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readResults } from './results.ts';
import type { Figure } from './scenario.ts';
import { scenarioOf } from './scenarios/index.ts';
import { Summary } from './summary.ts';

const README = fileURLToPath(new URL('../README.md', import.meta.url));
const RESULTS = fileURLToPath(new URL('./results', import.meta.url));
const [FROM, TO] = ['<!-- figures: node bench/figures.ts -->\n', '<!-- /figures -->'];

interface Line {
  readonly says: string;
  readonly scenario: string;
  readonly case: string;
  readonly figures: readonly string[];
  /** orderlane, what somebody would write by hand, and Celery gevent, by their names in the results. */
  readonly systems: readonly [string, string, string];
}

const GOT = 'plain amqplib + got';
const WAITS = 'plain amqplib, waits';
const GEVENT = 'Celery gevent';
const COST = { scenario: 'cost', figures: ['CPU per order', 'orders a second'] };
const LINES: readonly Line[] = [
  ...Object.entries({
    '300/s, 200 in flight, 10% hang': '10% of 1,000 merchants hang for 30 s at 300 orders/s, 200 calls in flight',
    '300/s, 1,000 in flight, 10% hang': 'the same with 1,000 calls in flight',
    '300/s, 4,000 in flight, 50% hang': 'half of them hang, 4,000 calls in flight',
    '70% of saturation, 1,000 in flight, 10% hang':
      '10% hang at 70% of what saturates the machine, 1,000 calls in flight',
    '70% of saturation, 4,000 in flight, 50% hang':
      'half of them hang at 70% of what saturates the machine, 4,000 calls in flight',
  }).map(([of, says]) => ({
    says: `${says}: p99 of the healthy, over that of a run where none hangs`,
    scenario: 'isolation',
    case: of,
    figures: ['healthy p99 over calm'],
    systems: ['orderlane', GOT, GEVENT] as const,
  })),
  ...(
    [
      ['forwarder', 'the forwarder at saturation, 200 calls in flight: CPU per order, orders a second', GOT],
      ['forwarder, TLS', 'the same over TLS', GOT],
      ['no-op', 'a handler that returns at once (by hand: an ack and nothing else)', 'bare amqplib, acks only'],
    ] as const
  ).map(([of, says, byHand]) => ({
    ...COST,
    says,
    case: of,
    systems: ['orderlane', byHand, `${GEVENT} 200`] as const,
  })),
  {
    says: '6,000 jobs that wait 5 s, from the first publish to the last completion',
    scenario: 'seed-table',
    case: '20 x 300 jobs waiting 5 s',
    figures: ['time', 'peak memory'],
    systems: ['orderlane', WAITS, GEVENT],
  },
  {
    says: '60,000 orders that wait 5 s, all in flight at once',
    scenario: 'density',
    case: '60,000 waiting',
    figures: ['time', 'peak memory'],
    systems: ['orderlane', WAITS, ''],
  },
  {
    says: 'from process start to the first order delivered',
    scenario: 'start',
    case: 'start',
    figures: ['time'],
    systems: ['orderlane', GOT, `${GEVENT} 1000`],
  },
];

/** In Markdown: medians; a system that was not measured has a dash, and what was not measured at all no line. */
export function figuresTable(results: string): string {
  const rows = LINES.flatMap((line) => {
    const path = join(results, `${line.scenario}.jsonl`);
    if (!existsSync(path)) return [];
    const { machine, rows: measured } = readResults(path);
    if (machine.quick) throw new Error(`${path}: expected results, got a quick run`);
    const summary = new Summary(measured);
    if (!summary.cases.includes(line.case)) return [];
    const { figures } = scenarioOf(measured, path);
    const cells = line.systems.map((system) => cellOf(line, figures, summary, system));
    const runs = measured.filter((row) => row.case === line.case && row.system === line.systems[0]).length;
    return [`| ${line.says} | ${cells.join(' | ')} | ${runs} |`];
  });
  return ['| | orderlane | by hand | Celery gevent | rounds |', '| --- | --- | --- | --- | --- |', ...rows, ''].join(
    '\n',
  );
}

function cellOf(line: Line, figures: readonly Figure[], summary: Summary, system: string): string {
  if (!summary.systems(line.case).includes(system)) return '–';
  return line.figures
    .map((name) => {
      const figure = figures.find((each) => each.name === name);
      if (figure === undefined) throw new Error(`expected a figure of ${line.scenario}, got ${name}`);
      const digits = { minimumFractionDigits: figure.digits, maximumFractionDigits: figure.digits };
      return `${summary.median(figure, line.case, system).toLocaleString('en', digits)}${figure.unit}`;
    })
    .join(', ');
}

/** README as it should be. */
export function readmeWithFigures(readme: string, results: string): string {
  const [from, to] = [readme.indexOf(FROM), readme.indexOf(TO)];
  if (from === -1 || to === -1) throw new Error(`expected ${FROM.trim()} and ${TO} in README.md`);
  return readme.slice(0, from + FROM.length) + figuresTable(results) + readme.slice(to);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(README, readmeWithFigures(readFileSync(README, 'utf8'), RESULTS));
}
