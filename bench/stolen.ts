import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

const SAMPLE_MS = 1000;
/** Samples that a share is over: a call takes long in a second that is not there, and longer when the next ones are needed to catch up. */
const OVER = 5;
/** Of the machine's CPU time; one that nobody else wants any of shows up to 0.02. */
const MOST = 0.05;
/** Runs of a group that are made again. */
const REPEATS = 4;
/** What is stolen shows only while there is something to run. */
const PROBE_MS = 10_000;
/** Of probes, one after the other: five minutes. */
const PROBES = 30;

/** Of all CPUs together since the machine started, in ticks. */
export interface CpuTicks {
  readonly all: number;
  /** Time in which something wanted to run here and the host ran somebody else. */
  readonly stolen: number;
}

/** The largest share that was stolen over any five intervals between samples; over all of them, where there are fewer. */
export function worstShare(samples: readonly CpuTicks[]): number {
  let worst = 0;
  for (let at = Math.min(OVER, samples.length - 1); at > 0 && at < samples.length; at++) {
    const [from, to] = [samples[Math.max(0, at - OVER)] as CpuTicks, samples[at] as CpuTicks];
    worst = Math.max(worst, (to.stolen - from.stolen) / Math.max(1, to.all - from.all));
  }
  return worst;
}

/** The first line of Linux's /proc/stat. */
export function ticksOf(stat: string): CpuTicks {
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, stolen = 0] = stat
    .slice(0, stat.indexOf('\n'))
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return { all: user + nice + system + idle + iowait + irq + softirq + stolen, stolen };
}

/** Watches what the host takes from this machine until it is stopped. */
export class Stolen {
  readonly #samples: CpuTicks[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS).unref();
  }

  /** The worst share of CPU time over five seconds, 0 to 1. */
  stop(): number {
    clearInterval(this.#timer);
    this.#sample();
    return worstShare(this.#samples);
  }

  #sample(): void {
    this.#samples.push(ticksOf(readFileSync('/proc/stat', 'utf8')));
  }
}

/** What is said of a run that the host disturbed; undefined when it did not. */
export function disturbance(stolen: number): string | undefined {
  return stolen <= MOST ? undefined : `the host took ${Math.round(stolen * 100)}% of the CPU time for 5 s`;
}

/**
 * Measures again what was measured while the host gave more than a twentieth of this machine's CPU time to others, which no latency
 * at the edge of what the machine does withstands. What the system came to has no say in it. One for each group of runs that
 * belong together: a host that is never quiet must not keep a benchmark for hours, and then the least disturbed run is what there is.
 */
export class Undisturbed {
  readonly tell: (what: string) => void;
  readonly #quiet: () => Promise<void>;
  #repeats = 0;

  constructor(tell: (what: string) => void, quiet: () => Promise<void> = untilQuiet) {
    this.tell = tell;
    this.#quiet = quiet;
  }

  async run<T extends { readonly stolen: number }>(measure: () => Promise<T>): Promise<T> {
    for (let best: T | undefined; ; ) {
      const measured = await measure();
      if (best === undefined || measured.stolen < best.stolen) best = measured;
      const share = disturbance(best.stolen);
      if (share === undefined) return best;
      if (this.#repeats === REPEATS) {
        this.tell(`${share}, and as much before: it is kept as it is`);
        return best;
      }
      this.#repeats++;
      this.tell(`${share}: once more`);
      await this.#quiet();
    }
  }
}

/** Until the host gives this machine all of its CPUs for a while, or does not within five minutes. */
async function untilQuiet(): Promise<void> {
  for (let probes = 0; probes < PROBES; probes++) {
    const spinning = Array.from({ length: availableParallelism() }, () => new Worker('for (;;);', { eval: true }));
    const watch = new Stolen();
    await sleep(PROBE_MS);
    const share = watch.stop();
    await Promise.all(spinning.map((each) => each.terminate()));
    if (share <= MOST) return;
  }
}
