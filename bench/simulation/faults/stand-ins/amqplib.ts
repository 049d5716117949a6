import { SimulatedConnection } from '../connection.ts';
import { stage } from '../stage.ts';

export { IllegalOperationError } from 'amqplib';

const CONNECT_MS = 20;

/** In place of amqplib's: a connection to the simulated broker, when that is there. */
export function connect(): Promise<SimulatedConnection> {
  const { time, dice } = stage();
  const { actor } = time;
  return new Promise((resolve, reject) => {
    time.after(dice.delay(CONNECT_MS, 12_000, 0.03), () => {
      const { broker, process } = stage();
      if (!broker.isUp) {
        reject(new Error('connect ECONNREFUSED'));
        return;
      }
      const connection = new SimulatedConnection(actor);
      process.connections.push(connection);
      resolve(connection);
    });
  });
}
