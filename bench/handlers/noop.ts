import { defineHandler, type Handler } from '../../src/index.ts';
import { Marker } from '../mark.ts';

const marker = new Marker();

/** Returns at once: what is measured is everything around it. */
const handler: Handler = defineHandler({
  deliver: () => {
    marker.began();
    marker.ended();
  },
});

export default handler;
