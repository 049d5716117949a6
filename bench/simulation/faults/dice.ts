import { below, type Random, seeded } from '../../../src/sim/random.ts';

/** Every choice of a simulated world; equal seeds, equal choices. */
export class Dice {
  readonly random: Random;

  constructor(seed: number) {
    this.random = seeded(seed);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  /** From `least` up to `most`. */
  between(least: number, most: number): number {
    return least + (most - least) * this.random();
  }

  /** A whole number from `least` to `most`, both possible. */
  whole(least: number, most: number): number {
    return least + below(this.random, most - least + 1);
  }

  /** Mostly short, sometimes long: what breaks is found at the ends. In milliseconds. */
  delay(usual: number, long: number, often = 0.05): number {
    return this.chance(often) ? this.between(usual, long) : this.between(0, usual);
  }

  one<T>(of: readonly T[]): T {
    return of[below(this.random, of.length)] as T;
  }

  /** One of the names, by their weights. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
    const entries = Object.entries(weights) as [T, number][];
    let left = this.random() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    return (entries.at(-1) as [T, number])[0];
  }
}
