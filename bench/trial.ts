import { type Peer, RunningPeer } from './peer.ts';
import { usageOf } from './process-tree.ts';
import type { Batch } from './publish.ts';
import type { Measured, Run } from './scenario.ts';
import { type MerchantSettings, onStage } from './stage.ts';

/** One system that works off orders which wait for it. */
export interface Trial {
  readonly case: string;
  readonly peer: Peer;
  /** Orders that come first and are not measured: start and compilation are not what is asked. */
  readonly warmup: number;
  readonly orders: number;
  readonly concurrency: number;
  readonly batch: Omit<Batch, 'orders' | 'seed'>;
  /** Absent when orders are not sent. */
  readonly merchants?: MerchantSettings;
  /** Memory is read after so many orders, too, warm-up not counted: for a system that tells of its orders. */
  readonly early?: number;
}

/** Time and CPU from the first order after the warm-up, or the last of it, to the end of the last. */
export function trial(asked: Trial): Run {
  const { peer, warmup, orders, concurrency, early } = asked;
  return {
    system: peer.name,
    label: `${asked.case}: ${peer.name}`,
    measure: (pair) =>
      onStage(peer, asked.merchants, async ({ inbox, merchants, job }): Promise<readonly Measured[]> => {
        await inbox.publish({ ...asked.batch, orders: warmup + orders, seed: pair });
        const running = new RunningPeer(peer, job({ warmup, orders, concurrency }));
        try {
          const first = warmup === 0 ? merchants?.inFlight(1) : merchants?.accepted(warmup);
          const begun = await within(running, first ?? running.began(warmup + 1));
          const before = usageOf(running.pid);
          if (early !== undefined) await within(running, running.ended(warmup + early));
          const earlyPeakMb = early === undefined ? {} : { earlyPeakMb: usageOf(running.pid).peakMb };
          const ended = await within(running, merchants?.accepted(warmup + orders) ?? running.ended(warmup + orders));
          const after = usageOf(running.pid);
          return [
            {
              case: asked.case,
              system: peer.name,
              orders,
              elapsedMs: ended - begun,
              cpuMs: after.cpuMs - before.cpuMs,
              mainMs: after.mainMs - before.mainMs,
              peakMb: after.peakMb,
              ...earlyPeakMb,
            },
          ];
        } finally {
          await running.stop();
        }
      }),
  };
}

/** What is waited for, unless the system ends before. */
export function within<T>(running: RunningPeer, what: Promise<T>): Promise<T> {
  return Promise.race([what, running.gone]);
}
