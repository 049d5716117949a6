import type { Round } from './play.ts';
import type { Row } from './row.ts';

/** All rounds of one row on one broker. */
export interface RowResult {
  readonly row: Row;
  /** As RabbitMQ prints its version. */
  readonly broker: string;
  readonly rounds: readonly Round[];
}

const HEADINGS = [
  'fault',
  'broker',
  'rounds',
  'published',
  'lost',
  'duplicate sends',
  'bound',
  'recovered in s',
  '',
] as const;

export function hasFailed({ rounds }: RowResult): boolean {
  return rounds.some(({ problems }) => problems.length > 0);
}

/** The results as a Markdown table, for terminals and RELIABILITY.md alike. */
export function tableOf(results: readonly RowResult[]): string {
  const lines = [HEADINGS, ...results.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => (line[column] as string).length)));
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column < 2 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [row(HEADINGS), rule, ...lines.slice(1).map(row)].join('\n');
}

/** What a failing round has to say, and how to repeat it. */
export function complaintsOf({ row, broker, rounds }: RowResult, full: boolean): string {
  return rounds
    .filter(({ problems }) => problems.length > 0)
    .map(({ seed, problems }) => {
      const repeat = `make test-faults ROW=${row.name} SEED=${seed} BROKER=${Number.parseInt(broker, 10)}${full ? ' FULL=1' : ''}`;
      return `${row.name} failed with seed ${seed}; to repeat it: ${repeat}\n${problems.map((each) => `  ${each.replaceAll('\n', '\n  ')}`).join('\n')}`;
    })
    .join('\n');
}

function cellsOf(result: RowResult): string[] {
  const { row, broker, rounds } = result;
  const sum = (of: (round: Round) => number | undefined): string =>
    rounds.reduce((total, round) => total + (of(round) ?? 0), 0).toLocaleString('en');
  const recovered = rounds.flatMap(({ played }) => played?.recoveredMs ?? []).map((ms) => ms / 1000);
  return [
    row.fault,
    broker,
    String(rounds.length),
    sum(({ verdict }) => verdict?.published),
    sum(({ verdict }) => verdict?.lost),
    sum(({ verdict }) => verdict?.duplicateSends),
    sum(({ played }) => played?.bound),
    recovered.length === 0 ? '' : spread(recovered),
    hasFailed(result) ? 'FAILED' : 'ok',
  ];
}

/** One figure, or the least and the most of several. */
function spread(seconds: readonly number[]): string {
  const [least, most] = [Math.min(...seconds).toFixed(1), Math.max(...seconds).toFixed(1)];
  return least === most ? most : `${least} to ${most}`;
}
