import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { parseDuration } from '../duration.ts';
import { messageOf, OrderlaneError } from '../errors.ts';
import { jsonProblem } from '../json-error.ts';
import { brief } from '../outcome.ts';
import { logNormal, type Random, uniform } from './random.ts';

/**
 * How simulated merchants behave. As a JSON file, with durations as text:
 *
 *     {
 *       "seed": 1,
 *       "default": { "latency": { "distribution": "log-normal", "median": "80ms", "sigma": 0.4 } },
 *       "rules": [
 *         { "merchants": { "ids": ["m-7"] }, "silent": true, "from": "10s", "until": "40s" },
 *         { "merchants": { "fraction": 0.05 }, "latency": { "distribution": "fixed", "value": "5s" } },
 *         { "merchants": { "prefix": "flaky-" }, "failing": { "status": 500, "fraction": 0.2 } }
 *       ]
 *     }
 *
 * For each request the first rule that names its merchant and whose time has come decides alone; where it gives no
 * latency, the default's holds.
 */
export interface Scenario {
  /** Decides which merchants a fraction means, and every random draw. */
  readonly seed: number;
  readonly default: Behaviour;
  readonly rules: readonly Rule[];
}

/**
 * What a merchant does with a request whose body it has read. Looked at in this order: over the rate limit it refuses at
 * once; else silent; else, when the latency is over, it resets, fails or accepts (200).
 */
export interface Behaviour {
  /** From the last byte of the request to the answer. */
  readonly latency?: Latency;
  readonly rateLimited?: RateLimited;
  /** Reads and never answers. A held request stays held until its client closes, even if the scenario changes. */
  readonly silent?: boolean;
  /** The share of requests whose connection is reset instead of answered. */
  readonly resetting?: { readonly fraction: number };
  /** The share of requests that is answered with this status. */
  readonly failing?: { readonly status: number; readonly fraction: number };
}

export type Latency =
  | { readonly distribution: 'fixed'; readonly value: number }
  | { readonly distribution: 'uniform'; readonly min: number; readonly max: number }
  /** Half of the calls take longer than the median; `sigma` is the standard deviation of the logarithm. */
  | { readonly distribution: 'log-normal'; readonly median: number; readonly sigma: number }
  | {
      readonly distribution: 'bimodal';
      readonly fast: number;
      readonly slow: number;
      readonly slowFraction: number;
    };

export interface RateLimited {
  /** A merchant takes a second's worth at once after a quiet second, at least 1. */
  readonly perSecond: number;
  /** Sent as `Retry-After`, in whole seconds, rounded up. */
  readonly retryAfter: number;
  readonly status: 429 | 503;
}

export interface Rule extends Behaviour {
  readonly merchants: Selector;
  /** Milliseconds since the scenario was set, inclusive. */
  readonly from: number;
  /** Milliseconds since the scenario was set, exclusive; absent for no end. */
  readonly until?: number;
}

/**
 * A fraction is a slice of the circle on which every merchant ID has its place. The slices of a scenario's rules follow
 * one another, so that 5% and 1% are 6% of the merchants; past the whole circle they overlap, and the first rule wins.
 */
export type Selector =
  | { readonly ids: ReadonlySet<string> }
  | { readonly prefix: string }
  | { readonly start: number; readonly fraction: number };

/** What comes of one request. */
export type Reaction =
  | { readonly kind: 'answer'; readonly status: number; readonly afterMs: number; readonly retryAfterS?: number }
  | { readonly kind: 'reset'; readonly afterMs: number }
  | { readonly kind: 'silent' };

/** Names the keys it knows when another one comes. */
function only<Shape extends z.core.$ZodLooseShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const keys = `expected only ${Object.keys(shape).join(', ')}`;
  return z.strictObject(shape, { error: (issue) => (issue.code === 'unrecognized_keys' ? keys : undefined) });
}

const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  context.addIssue('expected a duration such as "80ms" or "5s"');
  return z.NEVER;
});
const share = z.number().min(0).max(1);

const latency = z.discriminatedUnion(
  'distribution',
  [
    only({ distribution: z.literal('fixed'), value: duration }),
    only({ distribution: z.literal('uniform'), min: duration, max: duration }).refine(({ min, max }) => min <= max, {
      path: ['max'],
      error: 'expected at least "min"',
    }),
    only({ distribution: z.literal('log-normal'), median: duration, sigma: z.number().min(0).max(5) }),
    only({ distribution: z.literal('bimodal'), fast: duration, slow: duration, slowFraction: share }),
  ],
  { error: 'expected one of fixed, uniform, log-normal, bimodal' },
);

const behaviour = {
  latency: latency.exactOptional(),
  rateLimited: only({
    perSecond: z.number().positive(),
    retryAfter: duration,
    status: z.literal([429, 503]).default(429),
  }).exactOptional(),
  silent: z.boolean().exactOptional(),
  resetting: only({ fraction: share.default(1) }).exactOptional(),
  failing: only({ status: z.int().min(300).max(599), fraction: share.default(1) }).exactOptional(),
};

const selector = only({
  ids: z
    .array(z.string())
    .transform((ids) => new Set(ids))
    .exactOptional(),
  prefix: z.string().exactOptional(),
  fraction: share.exactOptional(),
}).refine((value) => Object.keys(value).length === 1, { error: 'expected one of ids, prefix, fraction' });

const rule = only({
  merchants: selector,
  ...behaviour,
  from: duration.default(0),
  until: duration.exactOptional(),
}).refine(({ from, until }) => until === undefined || from < until, {
  path: ['until'],
  error: 'expected later than "from"',
});

const schema = only({
  seed: z.int().min(0).max(0xffff_ffff).default(1),
  default: only(behaviour).default({}),
  rules: z.array(rule).default([]),
});

/**
 * Validates a scenario as it stands in JSON. Throws USAGE that names the source, and for each fault where it is, what was
 * expected and what came.
 */
export function parseScenario(value: unknown, source = 'scenario'): Scenario {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new OrderlaneError(
      'USAGE',
      `${source}: ${parsed.error.issues.map((issue) => fault(issue, value)).join('; ')}`,
    );
  }
  const { seed, default: behaviourOfAll, rules } = parsed.data;
  let start = 0;
  return {
    seed,
    default: behaviourOfAll,
    rules: rules.map(({ merchants, ...rest }) => {
      if (merchants.ids !== undefined) return { ...rest, merchants: { ids: merchants.ids } };
      if (merchants.prefix !== undefined) return { ...rest, merchants: { prefix: merchants.prefix } };
      const slice = { start, fraction: merchants.fraction ?? 0 };
      start = (start + slice.fraction) % 1;
      return { ...rest, merchants: slice };
    }),
  };
}

/** The same for JSON text. */
export function parseScenarioText(text: string, source?: string): Scenario {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new OrderlaneError(
      'USAGE',
      `${source ?? 'scenario'}: expected JSON, got text that is ${jsonProblem(error, text)}`,
      { cause: error },
    );
  }
  return parseScenario(value, source);
}

const POLL_MS = 250;

/** A scenario that lives in a file. Throws USAGE when the file cannot be used at first; later it keeps the last good one. */
export class ScenarioFile {
  readonly file: string;
  readonly scenario: Scenario;
  #text: string;

  constructor(file: string) {
    this.file = file;
    this.#text = this.#read();
    this.scenario = parseScenarioText(this.#text, file);
  }

  /**
   * Follows the file until the returned function is called: what it says goes to `onScenario` or, when it cannot be used,
   * why goes to `onProblem`, once. Compares contents, because a rename or a link's change escapes the file system's events.
   */
  watch(onScenario: (scenario: Scenario) => void, onProblem: (problem: string) => void): () => void {
    let problem: string | undefined;
    const look = (): void => {
      try {
        const text = this.#read();
        if (text === this.#text && problem === undefined) return;
        onScenario(parseScenarioText(text, this.file));
        this.#text = text;
        problem = undefined;
      } catch (error) {
        if (messageOf(error) === problem) return;
        problem = messageOf(error);
        onProblem(problem);
      }
    };
    const timer = setInterval(look, POLL_MS).unref();
    return () => clearInterval(timer);
  }

  #read(): string {
    try {
      return readFileSync(this.file, 'utf8');
    } catch (error) {
      throw new OrderlaneError('USAGE', `${this.file}: expected a scenario file: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

/** The rules that name a merchant, in order. None means that it behaves as the default all along. */
export function rulesFor(scenario: Scenario, merchantId: string): readonly Rule[] {
  const place = placeOf(merchantId, scenario.seed);
  return scenario.rules.filter(({ merchants }) => {
    if ('ids' in merchants) return merchants.ids.has(merchantId);
    if ('prefix' in merchants) return merchantId.startsWith(merchants.prefix);
    return (place - merchants.start + 1) % 1 < merchants.fraction;
  });
}

/** What holds for a merchant with these rules, so long after the scenario was set. */
export function behaviourAt(scenario: Scenario, rules: readonly Rule[], elapsedMs: number): Behaviour {
  return (
    rules.find(({ from, until }) => from <= elapsedMs && (until === undefined || elapsedMs < until)) ?? scenario.default
  );
}

/** Decides one request; `withinRate` says whether the merchant's rate limit, if any, lets it pass. */
export function react(now: Behaviour, scenario: Scenario, withinRate: boolean, random: Random): Reaction {
  if (now.rateLimited !== undefined && !withinRate) {
    const { status, retryAfter } = now.rateLimited;
    return { kind: 'answer', status, afterMs: 0, retryAfterS: Math.ceil(retryAfter / 1000) };
  }
  if (now.silent === true) return { kind: 'silent' };
  const lasting = now.latency ?? scenario.default.latency;
  const afterMs = lasting === undefined ? 0 : sampleLatency(lasting, random);
  if (now.resetting !== undefined && random() < now.resetting.fraction) return { kind: 'reset', afterMs };
  const fails = now.failing !== undefined && random() < now.failing.fraction;
  return { kind: 'answer', status: fails ? now.failing.status : 200, afterMs };
}

/** Draws one latency, in milliseconds. */
export function sampleLatency(from: Latency, random: Random): number {
  switch (from.distribution) {
    case 'fixed':
      return from.value;
    case 'uniform':
      return uniform(random, from.min, from.max);
    case 'log-normal':
      return logNormal(random, from.median, from.sigma);
    case 'bimodal':
      return random() < from.slowFraction ? from.slow : from.fast;
  }
}

/** A token bucket that holds one second's worth, at least one token. */
export class RateGate {
  readonly #perSecond: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = Math.max(1, perSecond);
    this.#at = nowMs;
  }

  take(nowMs: number): boolean {
    const refilled = this.#tokens + ((nowMs - this.#at) / 1000) * this.#perSecond;
    this.#tokens = Math.min(Math.max(1, this.#perSecond), refilled);
    this.#at = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** A merchant's place on the circle of fractions, 0 to 1: FNV-1a over its UTF-16 units, then MurmurHash3's finisher. */
function placeOf(merchantId: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < merchantId.length; i++) hash = Math.imul(hash ^ merchantId.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** One of zod's issues as `where: expected what, got what`. */
function fault(issue: z.core.$ZodIssue, root: unknown): string {
  let value = root;
  let where = '';
  for (const step of issue.path) {
    value = (value as Record<PropertyKey, unknown> | undefined)?.[step];
    where += typeof step === 'number' ? `[${step}]` : `${where === '' ? '' : '.'}${String(step)}`;
  }
  const expected = issue.message.replace(/^[^:]*: (?=expected)/, '').replace(/, received .*$/, '');
  const got = issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : JSON.stringify(value);
  return `${where === '' ? '' : `${where}: `}${expected}, got ${got === undefined ? 'nothing' : brief(got, 80)}`;
}
