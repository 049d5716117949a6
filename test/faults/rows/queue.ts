import { basicCancel, consumerOf } from '../amqp-frames.ts';
import type { Row } from '../row.ts';

const ORDERS = 200;
const HELD = { default: { latency: { distribution: 'fixed', value: '4s' } } };
const PATIENT = ['--timeout', '1m', '--shutdown-timeout', '1m'];
const BACK = 'consuming connection is back';

/** What waits in a deleted queue is gone by somebody's will; what is in flight is not. */
export const queueDeleted: Row = {
  name: 'queue-deleted',
  fault: 'source queue deleted with 200 in flight',
  async play(stage) {
    const merchants = await stage.merchants(HELD);
    await stage.publish({ orders: ORDERS });
    const worker = await stage.work(...PATIENT);
    await stage.until(worker, ({ inFlight, unsettled }) => inFlight === ORDERS && unsettled === ORDERS);
    const deletedAt = performance.now();
    await stage.broker.ctl('delete_queue', stage.queue);
    await worker.log.until(BACK);
    await stage.publish({ orders: ORDERS });
    await merchants.until(({ requests }) => requests > ORDERS);
    const recoveredMs = [performance.now() - deletedAt];
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

export const consumerCancelled: Row = {
  name: 'consumer-cancelled',
  fault: 'consumer cancelled by the broker with 200 in flight',
  short: true,
  async play(stage) {
    await stage.merchants(HELD);
    await stage.publish({ orders: ORDERS });
    const proxy = await stage.proxy();
    let cancel = (): void => undefined;
    proxy.policy = ({ connection, kind, bytes }) => {
      if (kind === 'basic.consume-ok') {
        const { channel, tag } = consumerOf(bytes);
        cancel = () => connection.tellClient(basicCancel(channel, tag));
      }
      return 'pass';
    };
    const worker = await stage.work('-b', proxy.url, ...PATIENT);
    const recoveredMs: number[] = [];
    for (let times = 1; times <= 2; times++) {
      await stage.until(worker, ({ inFlight, unsettled }) => inFlight === ORDERS && unsettled === ORDERS);
      const cancelledAt = performance.now();
      cancel();
      await stage.until(worker, ({ joined }) => joined === ORDERS * times);
      recoveredMs.push(performance.now() - cancelledAt);
    }
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};

/** The broker takes the channel of a consumer that holds a delivery for too long, again and again, while the call goes on. */
export const consumerTimeout: Row = {
  name: 'consumer-timeout',
  fault: 'consumer_timeout of 2 s, merchants that take 8 s',
  async play(stage) {
    const set = async (timeoutMs: number, tickMs: number): Promise<void> => {
      await stage.broker.ctl(
        'eval',
        `application:set_env(rabbit, consumer_timeout, ${timeoutMs}), application:set_env(rabbit, channel_tick_interval, ${tickMs}).`,
      );
    };
    await set(2_000, 1_000);
    stage.after(() => set(1_800_000, 60_000));
    await stage.merchants({ default: { latency: { distribution: 'fixed', value: '8s' } } });
    await stage.publish({ orders: ORDERS });
    const worker = await stage.work(...PATIENT);
    const { reason } = await worker.log.until('consuming connection lost; reconnecting');
    if (!/timeout/.test(String(reason))) throw new Error(`expected the consumer to time out, got: ${String(reason)}`);
    const noticedAt = performance.now();
    await worker.log.until(BACK);
    await stage.until(worker, ({ joined }) => joined >= ORDERS);
    const recoveredMs = [performance.now() - noticedAt];
    await stage.ended(worker);
    return { bound: 0, recoveredMs };
  },
};
