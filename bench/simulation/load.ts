/** What a merchant is like while the fault lasts; healthy before and after, but for the bimodal and the steady, who always are. */
export type Kind = 'healthy' | 'hangs' | 'slow' | 'drifts' | 'bimodal' | 'steady';

export interface Load {
  readonly name: string;
  readonly merchants: number;
  readonly ratePerSecond: number;
  /** Zipf's exponent: how much busier the busy merchants are. */
  readonly zipf: number;
  /** The part of the merchants that is struck, and by what; the second busiest is always among them. */
  readonly struck: number;
  readonly by: 'hangs' | 'slow' | 'drifts';
  /** The part that is always bimodal: 90% 100 ms, 10% 3 s. */
  readonly bimodal?: number;
  /** The part that always takes 600 ms. */
  readonly steady?: number;
}

/** Times in milliseconds: calm, then the fault, then recovery. */
export const CALM_MS = 20_000;
export const FAULT_MS = 30_000;
export const RECOVERY_MS = 40_000;
const USUAL_MS = 80;
const SLOW_MS = 5_000;
const DRIFT_MS = 6_000;
const STEADY_MS = 600;

/** The merchants of a load: who they are, how often each is ordered from, and how long each call takes. */
export class Merchants {
  readonly #kinds: Kind[];
  readonly #busy: Float64Array;
  readonly #seed: number;

  constructor({ merchants, zipf, struck, by, bimodal = 0, steady = 0 }: Load, seed: number) {
    this.#seed = seed;
    let sum = 0;
    this.#busy = Float64Array.from({ length: merchants }, (_, rank) => (sum += 1 / (rank + 1) ** zipf));
    this.#kinds = Array.from({ length: merchants }, () => 'healthy');
    const shuffled = Array.from({ length: merchants }, (_, rank) => rank).sort(
      (a, b) => this.dice(a, 1) - this.dice(b, 1),
    );
    const take = (kind: Kind, part: number, first: number): void => {
      const count = Math.round(merchants * part);
      if (count === 0) return;
      this.#kinds[first] = kind;
      for (let taken = 1; taken < count; ) {
        const rank = shuffled.pop();
        if (rank === undefined) return;
        if (this.#kinds[rank] !== 'healthy') continue;
        this.#kinds[rank] = kind;
        taken++;
      }
    };
    take(by, struck, 1);
    take('bimodal', bimodal, 4);
    take('steady', steady, 4);
  }

  kind(rank: number): Kind {
    return this.#kinds[rank] as Kind;
  }

  /** The merchant that the order with this number is for. */
  of(order: number): number {
    const busy = this.#busy;
    const wanted = this.dice(order, 2) * (busy[busy.length - 1] as number);
    let low = 0;
    let high = busy.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((busy[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** How long a call takes, in milliseconds. Of order and attempt alone, so that a run without the fault has the same. */
  latency(rank: number, order: number, attempt: number, now: number, faulty: boolean): number {
    const kind = this.kind(rank);
    const normal = this.#normal(order * 64 + attempt);
    if (kind === 'bimodal') {
      return this.dice(order * 64 + attempt, 5) < 0.9 ? 100 * Math.exp(0.3 * normal) : 3000 * Math.exp(0.2 * normal);
    }
    if (kind === 'steady') return STEADY_MS * Math.exp(0.1 * normal);
    const struck = faulty && kind !== 'healthy' && now >= CALM_MS && now < CALM_MS + FAULT_MS;
    if (!struck) return USUAL_MS * Math.exp(0.5 * normal);
    if (kind === 'hangs') return Number.POSITIVE_INFINITY;
    if (kind === 'slow') return SLOW_MS * Math.exp(0.3 * normal);
    const far = (now - CALM_MS) / FAULT_MS;
    return (USUAL_MS + (DRIFT_MS - USUAL_MS) * far) * Math.exp(0.3 * normal);
  }

  /** 0 up to 1, always the same for the same number and purpose. */
  dice(number: number, purpose: number): number {
    let bits = Math.imul(number ^ (this.#seed * 0x9e37_79b9), 0x85eb_ca6b) ^ Math.imul(purpose, 0xc2b2_ae35);
    bits = Math.imul(bits ^ (bits >>> 16), 0x7feb_352d);
    bits = Math.imul(bits ^ (bits >>> 15), 0x846c_a68b);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  }

  /** Box and Muller's transform. */
  #normal(number: number): number {
    const radius = Math.sqrt(-2 * Math.log(Math.max(this.dice(number, 3), 1e-12)));
    return radius * Math.cos(2 * Math.PI * this.dice(number, 4));
  }
}
