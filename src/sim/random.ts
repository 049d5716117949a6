import { crc32 } from 'node:zlib';

/** Numbers from 0 up to, never including, 1: seeded here, or Math.random. */
export type Random = () => number;

/**
 * A repeatable source: equal seeds, equal sequences. xoshiro128** (Blackman and Vigna, 2018,
 * https://prng.di.unimi.it/xoshiro128starstar.c), its state filled by SplitMix64 as its authors advise. 32 bits a number.
 */
export function seeded(seed: number): Random {
  const fill = splitMix64(BigInt(Math.trunc(seed)));
  const [low, high] = [fill(), fill()];
  return xoshiro128(Number(low & MASK_32), Number(low >> 32n), Number(high & MASK_32), Number(high >> 32n));
}

/** A source of its own for each of these texts, and always the same one for the same text and seed. */
export function seededBy(seed: number, text: string): Random {
  return seeded(seed ^ crc32(text));
}

/** From `min` up to `max`. */
export function uniform(random: Random, min: number, max: number): number {
  return min + (max - min) * random();
}

/** A whole number from 0 to `count - 1`. */
export function below(random: Random, count: number): number {
  return Math.floor(random() * count);
}

/** The gap before the next of events that come independently of each other: a Poisson process. */
export function exponential(random: Random, mean: number): number {
  return -mean * Math.log(1 - random());
}

/** `sigma` is the standard deviation of the logarithm. The normal part is Box and Muller's (1958). */
export function logNormal(random: Random, median: number, sigma: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return median * Math.exp(sigma * normal);
}

/**
 * Zipf's law: of `count` things, the one at index i is drawn with a probability proportional to 1 / (i + 1) ** exponent.
 * Exponent 0 makes all alike. Costs a table of `count` numbers, and a binary search a draw.
 */
export function zipf(count: number, exponent: number): (random: Random) => number {
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += (i + 1) ** -exponent;
    cumulative[i] = sum;
  }
  return (random) => {
    const target = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] as number) > target) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

const MASK_32 = 0xffff_ffffn;
const MASK_64 = 0xffff_ffff_ffff_ffffn;

/** https://prng.di.unimi.it/splitmix64.c */
function splitMix64(seed: bigint): () => bigint {
  let state = seed & MASK_64;
  return () => {
    state = (state + 0x9e37_79b9_7f4a_7c15n) & MASK_64;
    let mixed = state;
    mixed = ((mixed ^ (mixed >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & MASK_64;
    mixed = ((mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn) & MASK_64;
    return mixed ^ (mixed >> 31n);
  };
}

function xoshiro128(s0: number, s1: number, s2: number, s3: number): Random {
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = rotateLeft(s3, 11);
    return result / 2 ** 32;
  };
}

function rotateLeft(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
