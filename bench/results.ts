import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Row } from './scenario.ts';

/** Where and when rows were measured. */
export interface Machine {
  readonly date: string;
  readonly node: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  /** Fewer orders and pairs: an indication, not a result. */
  readonly quick: boolean;
}

export function thisMachine(quick: boolean): Machine {
  const all = cpus();
  return {
    date: new Date().toISOString(),
    node: process.version,
    cores: all.length,
    cpu: all[0]?.model ?? 'CPU',
    memoryGb: Math.round(totalmem() / 2 ** 30),
    quick,
  };
}

/** A scenario's raw results: JSON lines, the machine first, then each row as soon as it is measured. */
export class ResultFile {
  readonly path: string;

  constructor(dir: string, scenario: string, machine: Machine) {
    mkdirSync(dir, { recursive: true });
    this.path = join(dir, `${scenario}.jsonl`);
    writeFileSync(this.path, `${JSON.stringify(machine)}\n`);
  }

  add(rows: readonly Row[]): void {
    appendFileSync(this.path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
}

export function parseResults(text: string): { readonly machine: Machine; readonly rows: readonly Row[] } {
  const [first, ...rest] = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  const machine = first as Machine;
  if (typeof machine?.date !== 'string' || typeof machine.node !== 'string')
    throw new Error('expected the machine in the first line of a result file, with its date and Node');
  return { machine, rows: rest as Row[] };
}

export function readResults(path: string): ReturnType<typeof parseResults> {
  return parseResults(readFileSync(path, 'utf8'));
}
