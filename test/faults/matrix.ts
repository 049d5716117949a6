import type { Row } from './row.ts';
import { blackHole, brokerFrozen, brokerKilled, brokerRestarted, connectionsClosed } from './rows/broker.ts';
import { crashLoop, kill, rollingStops } from './rows/process.ts';

/** Every row, in the order of the report. */
export const MATRIX: readonly Row[] = [
  kill,
  crashLoop,
  rollingStops,
  connectionsClosed,
  brokerRestarted,
  brokerKilled,
  brokerFrozen,
  blackHole,
];
