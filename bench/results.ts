import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { writesToMemory } from './in-memory.ts';
import type { Row } from './scenario.ts';

/** What JSON has no number for: a latency of what was never answered. */
const NEVER = Number.POSITIVE_INFINITY;

/** Where and when rows were measured. */
export interface Machine {
  readonly date: string;
  readonly node: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  /** Where the broker wrote. */
  readonly broker?: 'disk' | 'memory';
  /** What was measured; absent outside a git checkout. */
  readonly commit?: string;
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
    broker: writesToMemory() ? 'memory' : 'disk',
    ...commit(),
    quick,
  };
}

function commit(): { commit?: string } {
  try {
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    return {
      commit: execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', stdio: [...stdio] }).trim(),
    };
  } catch {
    return {};
  }
}

const ALIKE = ['node', 'cores', 'quick'] as const;

export interface Results {
  /** Of the first session. */
  readonly machine: Machine;
  /** Of each session that measured some of it. */
  readonly machines: readonly Machine[];
  readonly rows: readonly Row[];
}

/**
 * A scenario's raw results: JSON lines, the machine first, then each row as soon as it is measured. A session that goes on with a
 * file says so by a line for its machine, with its own date.
 */
export class ResultFile {
  readonly path: string;
  /** What earlier sessions have measured. */
  readonly earlier: readonly Row[];
  readonly #machine: Machine;
  #begun = false;

  /** A session goes on with it on the same machine, and on any of as many cores where its rows are ratios of their own. */
  constructor(dir: string, scenario: string, machine: Machine, resume = false, anyMachine = false) {
    mkdirSync(dir, { recursive: true });
    this.path = join(dir, `${scenario}.jsonl`);
    this.#machine = machine;
    if (!resume || !existsSync(this.path)) {
      this.earlier = [];
      return;
    }
    const before = readResults(this.path);
    for (const what of anyMachine ? ALIKE : ([...ALIKE, 'cpu', 'memoryGb'] as const)) {
      const [theirs, ours] = [before.machine[what], machine[what]];
      if (theirs !== ours)
        throw new Error(`${this.path} has ${what} ${theirs}, this is ${ours}: expected the same to resume`);
    }
    this.earlier = before.rows;
  }

  /** Whether a run of this round is in the file already, and tells something. */
  has(run: string, pair: number): boolean {
    const rows = this.earlier.filter((row) => row.run === run && row.pair === pair);
    return rows.length > 0 && rows.every(({ disturbed }) => disturbed === undefined);
  }

  /** The first of a session begins the file, or goes on with it. What the file has of the same run and round was disturbed, and goes. */
  add(rows: readonly Row[]): void {
    if (this.earlier.some((row) => isOneOf(rows, row))) {
      const lines = readFileSync(this.path, 'utf8').trimEnd().split('\n');
      const kept = lines.filter((line) => !isOneOf(rows, JSON.parse(line) as Partial<Row>));
      writeFileSync(this.path, kept.map((line) => `${line}\n`).join(''));
    }
    if (!this.#begun) {
      if (this.earlier.length === 0) writeFileSync(this.path, '');
      appendFileSync(this.path, `${JSON.stringify(this.#machine)}\n`);
      this.#begun = true;
    }
    appendFileSync(this.path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
}

/** Whether it is of the same run and round. */
export function isOneOf(rows: readonly Row[], { run, pair }: Partial<Row>): boolean {
  return rows.some((row) => row.run === run && row.pair === pair);
}

export function parseResults(text: string): Results {
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line, (_, value: unknown) => value ?? NEVER) as Machine | Row);
  const [machine] = lines;
  if (machine === undefined || !isMachine(machine))
    throw new Error('expected the machine in the first line of a result file, with its date and Node');
  return { machine, machines: lines.filter(isMachine), rows: lines.filter((line): line is Row => !isMachine(line)) };
}

/** In words, for what is made of the results. */
export function machinesIn({ machines }: Results): string {
  const [first] = machines;
  const kinds = new Set(machines.map(({ cores, cpu, memoryGb }) => `${cores} x ${cpu}, ${memoryGb} GB`));
  return `Node ${first?.node}, ${[...kinds].join(' and ')}`;
}

export function readResults(path: string): Results {
  return parseResults(readFileSync(path, 'utf8'));
}

function isMachine(line: Machine | Row): line is Machine {
  return 'date' in line && 'node' in line;
}
