import { defineHandler, type Handler } from '../../src/index.ts';
import { Marker } from '../mark.ts';
import type { Job } from '../peer.ts';

const marker = new Marker(JSON.parse(process.env['BENCH_JOB'] as string) as Job);

/** Returns at once: what is measured is everything around it. */
const handler: Handler = defineHandler({
  deliver: () => {
    marker.began();
    marker.ended();
  },
});

export default handler;
