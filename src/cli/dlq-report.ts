import { isUtf8 } from 'node:buffer';
import type { ConsumeMessage } from 'amqplib';
import { type DeadLetterCounts, ranked } from '../admin/dead-letters.ts';
import type { DeadLetter } from '../dead-letter.ts';
import type { Plan } from './dlq-flags.ts';

/** What a run has come to, so far and in the end. */
export interface Report {
  readonly plan: Plan;
  /** Where the dead letters are. */
  readonly queue: string;
  /** Where replayed ones go. */
  readonly to: string;
  walked: number;
  expected: number;
  all: DeadLetterCounts;
  meant: DeadLetterCounts;
  readonly listed: DeadLetter[];
  /** Replayed or dropped. */
  changed: number;
  /** Second copies of what was replayed. */
  joined: number;
  /** Replayed in this run, and dead again by now. */
  diedAgain: number;
  /** Published, and not confirmed when it ended. */
  unconfirmed: number;
  interrupted: boolean;
  seconds: number;
}

const PROGRESS_MS = 250;
/** Where nobody watches, a line a while. */
const PLAIN_PROGRESS_MS = 10_000;
const MAX_MERCHANTS = 15;
const MAX_BODY = 2_000;
const NAME = 24;
const DEFAULT_WIDTH = 120;

export function reportText(report: Report, wall: number): string {
  const { plan } = report;
  if (plan.json) return plan.action === 'show' ? '' : `${JSON.stringify(jsonReport(report))}\n`;
  // That there are none is said only of a queue that was looked at.
  if (report.interrupted && report.walked === 0 && report.changed === 0)
    return `interrupted before anything in ${report.queue} was seen; nothing was changed\n`;
  switch (plan.action) {
    case 'ls':
      return [...countLines(report, wall), ...listLines(report.listed, wall), ...endLines(report)]
        .join('\n')
        .concat('\n');
    case 'show':
      return [
        report.meant.total === 0
          ? noneLine(report)
          : `${number(Math.min(report.meant.total, plan.limit ?? 0))} shown of ${letters(report.all.total)} in ${report.queue}`,
        ...endLines(report),
      ]
        .join('\n')
        .concat('\n');
    case 'replay':
    case 'drop':
      return `${[...(plan.execute ? changedLines(report) : dryLines(report, wall)), ...endLines(report)].join('\n')}\n`;
  }
}

function dryLines(report: Report, wall: number): string[] {
  const { plan, to, meant, all } = report;
  if (meant.total === 0) return [noneLine(report), 'Nothing was changed.'];
  const what = plan.action === 'replay' ? `go back to ${to} at ${number(plan.ratePerSecond)}/s` : 'be deleted for good';
  return [
    ...countLines(report, wall),
    '',
    `${number(meant.total)} of ${letters(all.total)} would ${what}. Nothing was changed: add --execute to do it.`,
  ];
}

function changedLines(report: Report): string[] {
  const { plan, queue, to, meant, all, changed, seconds } = report;
  if (meant.total === 0) return [noneLine(report), 'Nothing was changed.'];
  const rest = all.total - changed - report.joined;
  if (plan.action === 'drop')
    return [`${number(changed)} of ${letters(all.total)} dropped; ${number(rest)} stay in ${queue}`];
  const lines = [
    `${number(changed)} of ${number(meant.total)} replayed to ${to} in ${seconds.toFixed(1)}s; ${number(rest)} stay in ${queue}`,
  ];
  if (report.joined > 0) lines.push(`${number(report.joined)} second copies of them were deleted`);
  if (report.diedAgain > 0) lines.push(`${number(report.diedAgain)} of them are dead again already`);
  if (report.unconfirmed > 0) {
    lines.push(`${number(report.unconfirmed)} without the broker's confirm: perhaps in ${to}, and still in ${queue}`);
  }
  return lines;
}

function endLines({ interrupted, plan }: Report): string[] {
  if (!interrupted) return [];
  return [plan.execute ? 'interrupted: run it again to go on' : 'interrupted: not everything was seen'];
}

/** A filter that fits nothing is often a slip: what there is instead shows it. */
function noneLine({ queue, all }: Report): string {
  if (all.total === 0) return `No dead letters in ${queue}`;
  const reasons = ranked(all.byReason).map(
    ([reason, count]) => `${number(count)} ${safe(reason === '' ? '-' : reason)}`,
  );
  return `None of ${letters(all.total)} in ${queue} matches. There are ${reasons.join(', ')}.`;
}

function countLines(report: Report, wall: number): string[] {
  const { queue, meant, all } = report;
  if (meant.total === 0) return [noneLine(report)];
  const of = meant.total === all.total ? '' : ` of ${number(all.total)}`;
  const ages = [meant.newest, meant.oldest].flatMap((at) => (at === undefined ? [] : [age(wall - at)]));
  const since = ages.length === 0 ? '' : `, ${[...new Set(ages)].join(' to ')} old`;
  const merchants = ranked(meant.byMerchant);
  const further = merchants.slice(MAX_MERCHANTS);
  return [
    `${letters(meant.total)}${of} in ${queue}${since}, ${size(meant.bytes)}`,
    '',
    ...table('REASON', ranked(meant.byReason)),
    '',
    ...table(`MERCHANT (${number(merchants.length)})`, merchants.slice(0, MAX_MERCHANTS)),
    ...(further.length === 0
      ? []
      : [`  and ${number(further.length)} more with ${number(further.reduce((sum, [, count]) => sum + count, 0))}`]),
  ];
}

function table(heading: string, rows: readonly (readonly [string, number])[]): string[] {
  return [
    `  ${heading.padEnd(NAME)}    COUNT`,
    ...rows.map(([name, count]) => `  ${cell(name, NAME)} ${number(count).padStart(8)}`),
  ];
}

function listLines(listed: readonly DeadLetter[], wall: number): string[] {
  if (listed.length === 0) return [];
  const width = Math.max(80, process.stdout.columns ?? DEFAULT_WIDTH);
  const rows = listed.map((letter) =>
    [
      (letter.endedAt === undefined ? '?' : age(wall - letter.endedAt)).padEnd(5),
      cell(letter.merchantId, 16),
      cell(letter.orderId, NAME),
      cell(letter.reason, 13),
      `${letter.replayedAt === undefined ? '' : '(replayed before) '}${safe(letter.detail)}`,
    ].join(' '),
  );
  return ['', `  ${'AGE'.padEnd(5)} ${'MERCHANT'.padEnd(16)} ${'ORDER'.padEnd(NAME)} ${'REASON'.padEnd(13)} DETAIL`]
    .concat(rows.map((row) => `  ${row}`))
    .map((row) => row.slice(0, width).trimEnd());
}

function jsonReport(report: Report): object {
  const { plan, queue, all, meant, listed, changed, joined, diedAgain, unconfirmed, interrupted, seconds } = report;
  const counts = {
    queue,
    total: all.total,
    meant: meant.total,
    bytes: meant.bytes,
    oldest: isoTime(meant.oldest),
    newest: isoTime(meant.newest),
    byReason: Object.fromEntries(ranked(meant.byReason)),
    byMerchant: Object.fromEntries(ranked(meant.byMerchant)),
  };
  const end = { interrupted, seconds: Math.round(seconds * 1000) / 1000 };
  if (plan.action === 'ls') return { ...counts, listed: listed.map(jsonLetter), ...end };
  if (plan.action === 'drop') return { ...counts, executed: plan.execute, dropped: changed, ...end };
  return { ...counts, executed: plan.execute, replayed: changed, joined, diedAgain, unconfirmed, ...end };
}

function jsonLetter(letter: DeadLetter): object {
  const { merchantId: merchant, orderId: order, identity, hop, attempt, reason, detail, bytes } = letter;
  const [endedAt, publishedAt, replayedAt] = [letter.endedAt, letter.publishedAt, letter.replayedAt].map(isoTime);
  return { merchant, order, identity, reason, detail, endedAt, publishedAt, replayedAt, attempt, hop, bytes };
}

/** One dead letter in full. */
export function printed({ content, properties }: ConsumeMessage, letter: DeadLetter, plan: Plan, wall: number): string {
  const cut = plan.full ? content : content.subarray(0, MAX_BODY);
  const { headers = {}, ...others } = properties;
  const set = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined));
  const isText = isUtf8(content);
  if (plan.json) {
    const body = isText ? { body: textOf(cut) } : { bodyBase64: cut.toString('base64') };
    const truncated = cut.length < content.length;
    return `${JSON.stringify({ ...jsonLetter(letter), headers, properties: set, ...body, truncated })}\n`;
  }
  const time = (at: number | undefined): string =>
    at === undefined ? 'unknown' : `${isoTime(at)}, ${age(wall - at)} ago`;
  const facts: readonly (readonly [string, string])[] = [
    ['order', letter.orderId],
    ['merchant', letter.merchantId],
    ['identity', letter.identity],
    ['reason', letter.reason],
    ['detail', letter.detail],
    ['died', `${time(letter.endedAt)}, at attempt ${letter.attempt}`],
    ['published', time(letter.publishedAt)],
    ...(letter.replayedAt === undefined ? [] : [['replayed', time(letter.replayedAt)] as const]),
    ...Object.entries(headers).map(([name, value]) => [`  ${name}`, valueText(value)] as const),
    ...Object.entries(set).map(([name, value]) => [`  .${name}`, valueText(value)] as const),
  ];
  const left = content.length - cut.length;
  return [
    ...facts.map(([name, value]) => `${name.padEnd(NAME)} ${safe(value === '' ? '-' : value)}`),
    `${'body'.padEnd(NAME)} ${number(content.length)} bytes${isText ? '' : ', not text: in base64'}`,
    isText ? safe(textOf(cut), true) : cut.toString('base64'),
    ...(left > 0 ? [`... and ${number(left)} bytes more: --full prints them`] : []),
    '\n',
  ].join('\n');
}

/** A cut can go through a character, of which nothing is then shown. */
function textOf(cut: Buffer): string {
  return new TextDecoder().decode(cut, { stream: true });
}

function valueText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
}

/** What others wrote may hold a terminal's control sequences, or turn the reading direction. */
function safe(text: string, isBody = false): string {
  return text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (found) =>
    isBody && /[\n\t]/.test(found) ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function cell(text: string, width: number): string {
  const shown = safe(text === '' ? '-' : text);
  return (shown.length <= width ? shown : `${shown.slice(0, width - 1)}…`).padEnd(width);
}

function isoTime(at: number | undefined): string | undefined {
  if (at === undefined || Math.abs(at) > 8.64e15) return undefined;
  return new Date(at).toISOString();
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 48 * 3600 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

function size(bytes: number): string {
  return bytes < 2 ** 20 ? `${number(bytes / 1024)} KiB` : `${number(bytes / 2 ** 20)} MiB`;
}

function letters(count: number): string {
  return `${number(count)} dead letter${count === 1 ? '' : 's'}`;
}

function number(value: number): string {
  return (value > 0 && value < 10 ? Math.round(value * 10) / 10 : Math.round(value)).toLocaleString('en-US');
}

/** On a terminal a line that is kept up to date, elsewhere one now and then; returns what ends it. */
export function showProgress(report: Report): () => void {
  const { isTTY } = process.stderr;
  const timer = setInterval(
    () => {
      const { walked, expected, changed, meant, plan, queue } = report;
      if (expected === 0) return;
      const seen =
        walked < expected || changed === 0 ? `${number(walked)} of ${number(expected)} in ${queue} seen, ` : '';
      const done =
        plan.action === 'replay' && plan.execute ? `${number(changed)} of ${number(meant.total)} replayed` : '';
      const line = `${seen}${done === '' ? `${number(meant.total)} match` : done}`;
      if (isTTY) process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
      else say(line);
    },
    isTTY ? PROGRESS_MS : PLAIN_PROGRESS_MS,
  );
  return () => {
    clearInterval(timer);
    if (isTTY) process.stderr.write('\r\x1b[2K');
  };
}

export function say(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[2K' : ''}orderlane dlq: ${text}\n`);
}
