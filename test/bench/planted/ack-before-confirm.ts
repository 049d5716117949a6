import { type Outgoing, Publisher as RealPublisher } from '../../../src/broker/rabbitmq/publisher.ts';

export * from '../../../src/broker/rabbitmq/publisher.ts';

/** Takes a message that is written for one that a queue has. */
export class Publisher extends RealPublisher {
  override publish(message: Outgoing): void {
    super.publish({ ...message, done: () => undefined });
    message.done();
  }
}
