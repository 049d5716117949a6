import type { Scenario } from '../scenario.ts';
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
