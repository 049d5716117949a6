import { connect } from 'amqplib';
import { names, topologyOf } from '../../../src/broker/rabbitmq/topology.ts';
import { parseScenario } from '../../../src/sim/scenario.ts';
import type { Row } from '../row.ts';
import type { Stage } from '../stage.ts';

const ORDERS = 200;
const RUNG_MS = 1_000;
/** One rung takes all retries. */
const ONE_RUNG = ['--backoff', '1ms', '--backoff-max', '1ms', '--max-attempts', '100'];
const REFUSED = 'could not store a message; its order stays unsettled and it is tried again';

/**
 * All calls fail while retries cannot be stored, and succeed once the way is mended: the orders stay unsettled at the broker
 * in between.
 */
function blockedLadder(
  name: string,
  fault: string,
  block: (stage: Stage, rung: string) => Promise<void>,
  mend: (stage: Stage, rung: string) => Promise<void>,
): Row {
  return {
    name,
    fault,
    async play(stage) {
      const slow = { distribution: 'fixed', value: '8s' };
      const merchants = await stage.merchants({ default: { latency: slow, failing: { status: 500 } } });
      await stage.publish({ orders: ORDERS });
      const worker = await stage.work(...ONE_RUNG);
      await merchants.until(({ inFlight }) => inFlight > 0);
      const rung = names.rung(stage.queue, RUNG_MS);
      // The first calls still last, so that nothing is on the ladder that would go with it.
      await block(stage, rung);
      await worker.log.until(REFUSED);
      await stage.until(worker, ({ inFlight }) => inFlight === 0);
      merchants.setScenario(parseScenario({}));
      const mendedAt = performance.now();
      await mend(stage, rung);
      await stage.until(worker, ({ unsettled }) => unsettled === 0);
      const recoveredMs = [performance.now() - mendedAt];
      await stage.ended(worker);
      return { bound: 0, recoveredMs };
    },
  };
}

export const retryUnroutable: Row = blockedLadder(
  'retry-unroutable',
  'retries unroutable: their rung was deleted',
  async ({ broker }, rung) => {
    await broker.ctl('delete_queue', rung);
  },
  async ({ broker, queue }, rung) => {
    const declared = topologyOf(queue, broker.version).others.find(({ name }) => name === rung);
    const connection = await connect(broker.url);
    const channel = await connection.createChannel();
    await channel.assertQueue(rung, { durable: true, arguments: declared?.arguments });
    await connection.close();
  },
);

export const retryNacked: Row = blockedLadder(
  'retry-nacked',
  'retries nacked: their rung is full',
  async ({ broker }, rung) => {
    await broker.ctl(
      'set_policy',
      'full',
      `^${rung.replaceAll('.', '[.]')}$`,
      '{"max-length":1}',
      '--apply-to',
      'queues',
    );
  },
  async ({ broker }) => {
    await broker.ctl('clear_policy', 'full');
  },
);

/** What leaves the ladder then has nowhere to go, and waits in the rung until it has. */
export const bindingDeleted: Row = {
  name: 'binding-deleted',
  fault: 'the way back from the ladder unbound, and bound again',
  async play(stage) {
    const { broker, queue } = stage;
    const set = (ms: number): Promise<string> =>
      broker.ctl('eval', `application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, ${ms}).`);
    await set(2_000);
    stage.after(() => set(180_000));
    const merchants = await stage.merchants({ default: { failing: { status: 500 } } });
    await stage.publish({ orders: ORDERS });
    const worker = await stage.work(...ONE_RUNG);
    await merchants.until(({ requests }) => requests >= ORDERS);
    const connection = await connect(broker.url);
    const channel = await connection.createChannel();
    await channel.unbindQueue(queue, names.returns(queue), queue);
    merchants.setScenario(parseScenario({}));
    await stage.until(worker, ({ inFlight, unsettled, onLadder }) => inFlight + unsettled === 0 && onLadder > 0);
    const boundAt = performance.now();
    await channel.bindQueue(queue, names.returns(queue), queue);
    await connection.close();
    const recoveredMs = [await stage.nextCall(boundAt)];
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};
