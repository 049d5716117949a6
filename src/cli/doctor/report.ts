import type { Finding, Verdict } from './finding.ts';

const MARKS: Readonly<Record<Verdict, string>> = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' };
const COLOURS: Readonly<Record<Verdict, number>> = { ok: 32, warn: 33, fail: 31 };
/** All but line feeds: what brokers and files say may hold anything. */
const CONTROLS = /[^\P{Cc}\n]/gu;
const NAME_WIDTH = 14;
const INDENT = ' '.repeat(8 + NAME_WIDTH);

/** One finding for a person: a line, and below it the fix. */
export function findingText({ check, verdict, what, fix }: Finding, colour: boolean): string {
  const mark = colour ? `\u001B[${COLOURS[verdict]}m${MARKS[verdict]}\u001B[0m` : MARKS[verdict];
  const first = `  ${mark}  ${check.padEnd(NAME_WIDTH)}${plain(what)}`;
  return fix === undefined ? first : `${first}\n${INDENT}fix: ${plain(fix)}`;
}

/** The last line, and what the exit code says. */
export function summaryText(findings: readonly Finding[]): string {
  const { ok, warn, fail } = countsOf(findings);
  const verdict = fail > 0 ? 'not fit to run' : warn > 0 ? 'fit to run; see the warnings' : 'fit to run';
  return `${ok} ok, ${warn} warn, ${fail} FAIL: ${verdict}`;
}

/** All of it for a program. */
export function reportJson(findings: readonly Finding[]): string {
  const counts = countsOf(findings);
  return JSON.stringify({ passed: counts.fail === 0, counts, findings }, undefined, 2);
}

export function passed(findings: readonly Finding[]): boolean {
  return countsOf(findings).fail === 0;
}

function countsOf(findings: readonly Finding[]): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { ok: 0, warn: 0, fail: 0 };
  for (const { verdict } of findings) counts[verdict] += 1;
  return counts;
}

function plain(text: string): string {
  return text.replace(CONTROLS, '?').replaceAll('\n', `\n${INDENT}`);
}
