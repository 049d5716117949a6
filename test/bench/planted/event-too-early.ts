import { type Outgoing, Publisher as RealPublisher } from '../../../src/broker/rabbitmq/publisher.ts';

export * from '../../../src/broker/rabbitmq/publisher.ts';

/** Goes on with what follows a copy, its event, as soon as the copy is written. */
export class Publisher extends RealPublisher {
  override publish(message: Outgoing): void {
    if ('exchange' in message) super.publish(message);
    else {
      message.done();
      super.publish({ ...message, done: () => undefined });
    }
  }
}
