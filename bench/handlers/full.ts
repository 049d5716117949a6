import { DeliveryError, defineHandler, type Handler } from '../../src/index.ts';
import { Marker } from '../mark.ts';

const marker = new Marker();

/** Every merchant asks for five minutes: orders go to the ladder, and their lanes have them out. */
const handler: Handler = defineHandler({
  deliver: () => {
    marker.began();
    marker.ended();
    throw new DeliveryError('throttled', 'the kitchen is full', { retryAfterMs: 300_000 });
  },
});

export default handler;
