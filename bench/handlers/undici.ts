import { defineHandler, type Handler } from '../../src/index.ts';
import { Marker } from '../mark.ts';
import type { Job } from '../peer.ts';
import { postWith, urlOf } from '../peers/http-client.ts';

const marker = new Marker();
const { url } = JSON.parse(process.env['BENCH_JOB'] as string) as Job;
const post = postWith('undici');

/** Brings its own HTTP client. */
const handler: Handler = defineHandler({
  deliver: async (order) => {
    marker.began();
    await post(urlOf(url as string, order.merchantId), order.body, order.identity);
    marker.ended();
  },
});

export default handler;
