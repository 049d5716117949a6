import type { Finding } from './finding.ts';
import { findingText, passed, reportJson, summaryText } from './report.ts';

/** Prints findings as they come, or all of them at the end as JSON. */
export class Telling {
  readonly #json: boolean;
  readonly #findings: Finding[] = [];

  constructor(json: boolean) {
    this.#json = json;
  }

  readonly tell = (findings: Finding | readonly Finding[]): void => {
    const { isTTY } = process.stdout;
    const colour = isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
    for (const finding of [findings].flat()) {
      this.#findings.push(finding);
      if (!this.#json) process.stdout.write(`${findingText(finding, colour)}\n`);
    }
  };

  /** Prints what is left to say; whether nothing failed. */
  end(): boolean {
    const findings = this.#findings;
    process.stdout.write(`${this.#json ? reportJson(findings) : `\n${summaryText(findings)}`}\n`);
    return passed(findings);
  }
}
