import { after, before } from 'node:test';
import { type PrivateBroker, startBroker } from '../../src/sim/broker.ts';

/** One private broker for all tests of a file: call it once, at the top. It starts before the first test. */
export interface TestBroker extends Pick<PrivateBroker, 'url' | 'port' | 'version' | 'ctl'> {
  /** A queue name that no other test uses. */
  queueName(): string;
}

export function withBroker(): TestBroker {
  let broker: PrivateBroker | undefined;
  let queues = 0;
  const running = (): PrivateBroker => {
    if (broker === undefined) throw new Error('the broker runs only during tests and hooks');
    return broker;
  };
  before(async () => {
    broker = await startBroker();
  });
  after(async () => {
    await broker?.stop();
  });
  return {
    get url() {
      return running().url;
    },
    get port() {
      return running().port;
    },
    get version() {
      return running().version;
    },
    ctl: (...args) => running().ctl(...args),
    queueName: () => `orders-${++queues}`,
  };
}
