import type { Row, Scenario } from '../scenario.ts';
import { cost } from './cost.ts';
import { density } from './density.ts';
import { backlog, merchants } from './flat.ts';
import { hotThread } from './hot-thread.ts';
import { isolation } from './isolation.ts';
import { outcomes } from './outcomes.ts';
import { scrape } from './scrape.ts';
import { seedTable } from './seed-table.ts';
import { start } from './start.ts';

export const scenarios: readonly Scenario[] = [
  seedTable,
  density,
  cost,
  hotThread,
  backlog,
  merchants,
  start,
  scrape,
  outcomes,
  isolation(),
];

/** Whose rows a result file has. */
export function scenarioOf(rows: readonly Row[], path: string): Scenario {
  const scenario = scenarios.find(({ name }) => name === rows[0]?.scenario);
  if (scenario === undefined)
    throw new Error(`${path}: expected rows of a scenario, got ${rows[0]?.scenario ?? 'none'}`);
  return scenario;
}
