import { type Outgoing, Publisher as RealPublisher } from '../../../src/broker/rabbitmq/publisher.ts';

export * from '../../../src/broker/rabbitmq/publisher.ts';

/** Forgets one event in fifty. */
export class Publisher extends RealPublisher {
  #events = 0;

  override publish(message: Outgoing): void {
    if ('exchange' in message && ++this.#events % 50 === 0) message.done();
    else super.publish(message);
  }
}
