import { after } from 'node:test';
import { type ChannelModel, connect } from 'amqplib';
import { type BrokerOptions, type PrivateBroker, startBroker } from '../../src/sim/broker.ts';

export interface TestBroker extends Pick<PrivateBroker, 'url' | 'port' | 'version' | 'ctl'> {
  /** A queue name that no other test of the file uses. */
  queueName(): string;
  /** A connection that need not be closed. */
  connect(): Promise<ChannelModel>;
}

/** The system's RabbitMQ, or the one in the root that `make test BROKER=4` names. */
export const theBroker: Pick<BrokerOptions, 'root'> =
  process.env['BROKER_ROOT'] === undefined ? {} : { root: process.env['BROKER_ROOT'] };

/**
 * One private broker for all tests of a file, stopped after them: `const broker = await withBroker();` at the top. Not a
 * `before` hook, since those of a file run all at once and the others would find no broker.
 */
export async function withBroker(): Promise<TestBroker> {
  const broker = await startBroker(theBroker);
  const connections: ChannelModel[] = [];
  let queues = 0;
  after(async () => {
    await Promise.allSettled(connections.map((connection) => connection.close()));
    await broker.stop();
  });
  return {
    url: broker.url,
    port: broker.port,
    version: broker.version,
    ctl: (...args) => broker.ctl(...args),
    queueName: () => `orders-${++queues}`,
    connect: async () => {
      const connection = await connect(broker.url);
      connection.on('error', () => undefined); // whoever uses it notices
      connections.push(connection);
      return connection;
    },
  };
}
