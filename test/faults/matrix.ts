import type { Row } from './row.ts';
import { diskAlarm, memoryAlarm } from './rows/alarms.ts';
import { blackHole, brokerFrozen, brokerKilled, brokerRestarted, connectionsClosed } from './rows/broker.ts';
import { closeCut, confirmLost, flowCut, setupCut, startCut } from './rows/cuts.ts';
import { badMessages } from './rows/input.ts';
import { oddMerchants } from './rows/merchants.ts';
import { crashLoop, kill, rollingStops } from './rows/process.ts';
import { consumerCancelled, consumerTimeout, queueDeleted } from './rows/queue.ts';

import { bindingDeleted, retryNacked, retryUnroutable } from './rows/retries.ts';
import { threadRows } from './rows/threads.ts';

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
  setupCut,
  startCut,
  flowCut,
  closeCut,
  queueDeleted,
  consumerCancelled,
  consumerTimeout,
  memoryAlarm,
  diskAlarm,
  retryUnroutable,
  retryNacked,
  confirmLost,
  bindingDeleted,
  ...threadRows,
  oddMerchants,
  badMessages,
];
