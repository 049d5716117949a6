import { setTimeout as wait } from 'node:timers/promises';
import { defineHandler, type Handler } from '../../src/index.ts';
import { Marker } from '../mark.ts';

const marker = new Marker();
const WAIT_MS = 5_000;

/** Waits as a slow merchant makes one wait, without a call. */
const handler: Handler = defineHandler({
  deliver: async () => {
    marker.began();
    await wait(WAIT_MS);
    marker.ended();
  },
});

export default handler;
