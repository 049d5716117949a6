import type { Row } from './row.ts';
import { alarmDeferring, diskAlarm, memoryAlarm } from './rows/alarms.ts';
import { blackHole, brokerFrozen, brokerKilled, brokerRestarted, connectionsClosed } from './rows/broker.ts';
import { clockSteps } from './rows/clock.ts';
import { closeCut, confirmLost, deliveriesLost, flowCut, publisherCut } from './rows/flow-cuts.ts';
import { badMessages } from './rows/input.ts';
import { oddMerchants } from './rows/merchants.ts';
import { nameServers } from './rows/names.ts';
import { crashLoop, kill, poison, rollingStops } from './rows/process.ts';
import { consumerCancelled, consumerTimeout, queueDeleted } from './rows/queue.ts';

import { bindingDeleted, retryNacked, retryUnroutable } from './rows/retries.ts';
import { setupCut, startCut } from './rows/setup-cuts.ts';
import { threadRows } from './rows/threads.ts';

/** Every row, in the order of the report. */
export const MATRIX: readonly Row[] = [
  kill,
  crashLoop,
  poison,
  rollingStops,
  connectionsClosed,
  brokerRestarted,
  brokerKilled,
  brokerFrozen,
  blackHole,
  setupCut,
  startCut,
  flowCut,
  deliveriesLost,
  closeCut,
  publisherCut,
  queueDeleted,
  consumerCancelled,
  consumerTimeout,
  memoryAlarm,
  diskAlarm,
  alarmDeferring,
  retryUnroutable,
  retryNacked,
  confirmLost,
  bindingDeleted,
  ...threadRows,
  oddMerchants,
  nameServers,
  badMessages,
  clockSteps,
];
