import { hash } from 'node:crypto';
import type { Options } from '../../../src/options.ts';
import type { DuplicatesPolicy } from '../../../src/order.ts';
import { Broker, NUMBER_HEADER, QUEUE } from './broker.ts';
import { Dice } from './dice.ts';
import { FAULTS, type Fault, strike } from './faults.ts';
import { History } from './history.ts';
import { Merchants } from './merchants.ts';
import { type Configuration, Process } from './process.ts';
import { enter, type Stage } from './stage.ts';
import { VirtualTime } from './virtual-time.ts';

/** What one seed came to. */
export interface Outcome {
  readonly seed: number;
  /** The rule that was broken, if one was. */
  readonly finding: string | undefined;
  readonly orders: number;
  readonly sends: number;
  /** Sends that no scheduled retry explains: what faults have led to, within the bound. */
  readonly resends: number;
  /** Outcome events that the broker has, each once however often it came. */
  readonly told: number;
  readonly delivered: number;
  readonly deadLettered: number;
  readonly parked: number;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
  readonly processes: number;
  /** Processes that died of an order. */
  readonly deaths: number;
  readonly events: number;
  readonly virtualMs: number;
}

/** No faults after this; then everything must come to its end within the second. */
const [FAULTS_MS, END_MS] = [30_000, 400_000];
/** In one seed of so many one order ends its process whenever it is tried, and each time another one must be started. */
const POISON_EVERY = 7;
const POISON_END_MS = 4_000_000;
/** What would end other processes and threads, or an attempt that is then heard of: whose fault it was could not be told. */
const NOT_WITH_POISON: readonly Fault[] = ['SIGKILL', 'SIGTERM', 'stop', 'thread-dies', 'thread-stalls'];
/** Processes that one copy may cost before it runs alone. */
const DEATHS_BEFORE = 4;
/** Whatever `--max-crashes` says. */
const LEAST_LOSSES = 3;
/** Returns that put nothing out for a trial. */
const BEFORE_TRIALS = 2;
/** Of a process that has lost none. */
const CONNECTIONS = 2;
/** What is left in the books may stay there so long after the last order has ended: OnLadder is swept now and then. */
const BOOKS_MS = 60_000;
const LOOK_MS = 1_000;
/** How late a process may end, past `--shutdown-timeout`: confirms are waited for, sockets closed, threads ended. */
const SHUTDOWN_SLACK_MS = 30_000;
const OUTCOMES: readonly Options['outcomes'][] = ['off', 'final', 'all'];
const POLICIES: readonly DuplicatesPolicy[] = ['idempotent', 'idempotent', 'confirm', 'never'];

/**
 * One run of the product from its first order to its last, every choice of it by one seed: what is published, how the merchants
 * behave, which faults strike and between which two steps.
 */
export class World implements Stage {
  readonly dice: Dice;
  readonly time: VirtualTime;
  readonly broker: Broker = new Broker();
  readonly merchants: Merchants = new Merchants();
  readonly history: History = new History();
  readonly tell: ((text: string) => void) | undefined;
  process: Process;
  poison: number | undefined;
  readonly #isPoisoned: boolean;
  readonly #seed: number;
  readonly #configuration: Configuration;
  readonly #faults: Partial<Record<Fault, number>> = {};
  readonly #weights: Record<Fault, number>;
  /** How likely a fault is after each step. */
  readonly #violence: number;
  #processes = 1;
  deaths = 0;
  #uncounted = 0;
  /** Copies of the poison that there were at once. */
  #poisons = 1;
  #events = 0;
  #isHealed = false;
  #emptySince: number | undefined;
  #isOver = false;
  /** When the process that has ended is replaced. */
  #nextAt: number | undefined;

  constructor(seed: number, tell?: (text: string) => void) {
    this.#seed = seed;
    const dice = new Dice(seed);
    this.dice = dice;
    this.time = new VirtualTime(new Dice(seed + 2 ** 32).random);
    this.tell =
      tell === undefined ? undefined : (text) => tell(`${(this.time.now() / 1000).toFixed(3).padStart(9)}  ${text}`);
    // Not by the dice: a seed stays the run that it was before there were events.
    const outcomes = OUTCOMES[seed % OUTCOMES.length] as Options['outcomes'];
    this.#isPoisoned = seed % POISON_EVERY === 0;
    const endless = this.#isPoisoned ? { deadlineMs: 2 * POISON_END_MS } : {};
    this.#configuration = { ...configurationBy(dice), ...endless, outcomes };
    // Few kinds at a time, so that what one alone does is not hidden by the others.
    this.#weights = Object.fromEntries(
      FAULTS.map((fault) => [fault, dice.chance(0.4) ? dice.whole(1, 4) : 0]),
    ) as Record<Fault, number>;
    if (this.#isPoisoned) for (const fault of NOT_WITH_POISON) this.#weights[fault] = 0;
    this.#violence = Object.values(this.#weights).some((weight) => weight > 0) ? dice.one([0.003, 0.015, 0.05]) : 0;
    this.process = new Process(this.#processes, this.#configuration);
  }

  async run(): Promise<Outcome> {
    enter(this);
    const restore = this.time.install();
    try {
      this.#plan();
      this.process.begin();
      while (!this.#isOver && this.history.finding === undefined && (await this.time.next())) {
        this.#events++;
        if (this.time.wasStep && !this.#isHealed && this.dice.chance(this.#violence)) this.#strike();
      }
    } catch (error) {
      this.history.found(`uncaught: ${error instanceof Error ? error.stack : String(error)}`);
    } finally {
      restore();
    }
    return this.#outcome();
  }

  #plan(): void {
    const { time, dice, merchants } = this;
    for (let nth = 0, count = dice.whole(1, 4); nth < count; nth++) {
      merchants.add(`m${nth}`, this.#configuration.hasHandler ? dice.one(POLICIES) : dice.one(['idempotent', 'never']));
    }
    const orders = dice.whole(3, 50);
    if (this.#isPoisoned) this.poison = dice.whole(0, orders - 1);
    // All at once, or in a stream.
    const publishMs = dice.delay(4_000, 15_000, 0.5);
    for (let number = 0; number < orders; number++) {
      time.after(dice.between(0, publishMs), () => this.#publish(number, orders), time.outside);
    }
    time.after(FAULTS_MS, () => this.#heal(), time.outside);
    const look = (): void => {
      this.#look();
      time.after(LOOK_MS, look, time.outside, true);
    };
    time.after(LOOK_MS, look, time.outside, true);
  }

  /** Several messages share an order ID, as create, change and cancel of an order do. */
  #publish(number: number, orders: number): void {
    const { dice, time, merchants } = this;
    const orderId = `o-${dice.whole(0, Math.ceil(orders / 3))}`;
    const merchantId = dice.chance(0.03) ? 'nobody' : dice.one(merchants.ids);
    const isJson = !dice.chance(0.02);
    const body = isJson
      ? JSON.stringify({ id: orderId, merchant_id: merchantId, number, note: 'x'.repeat(dice.whole(0, 60)) })
      : `not JSON, ${number}`;
    const wall = Date.now();
    const deadlineMs = this.#configuration.deadlineMs;
    if (dice.chance(0.05)) merchants.unwanted.add(number);
    const told = !isJson || dice.chance(0.5) ? { order_id: orderId, merchant_id: merchantId } : {};
    const messageId = dice.chance(0.7) ? `message-${number}` : undefined;
    const digest = hash('sha256', `${merchantId}\0${body}`, 'hex').slice(0, 32);
    this.history.published({
      number,
      identity: messageId ?? `${orderId}:${digest}`,
      orderId,
      merchantId,
      body: Buffer.from(body),
      publishedAt: time.now(),
      deadline: time.now() + deadlineMs,
      copies: new Map(),
      climbed: new Map(),
      events: [],
      key: undefined,
      sends: 0,
      retries: 0,
      twins: 0,
      orphaned: 0,
      acceptedAt: null,
      unheard: 0,
      bodyChanged: false,
      merchantChanged: false,
    });
    this.broker.store(QUEUE, Buffer.from(body), {
      ...(messageId === undefined ? {} : { messageId }),
      headers: { ...told, timestamp_in_ms: wall, [NUMBER_HEADER]: number },
    });
  }

  diesOfPoison(): void {
    const { poison, process, broker } = this;
    if (poison === undefined || !process.actor.alive) return;
    this.tell?.(`${process.actor.name} dies of #${poison}`);
    process.kill();
    this.#poisons = Math.max(this.#poisons, broker.copiesOf(poison));
    // A process that has lost a connection and lives counts nothing, and what it sends away has no count from before the trials.
    if (process.connections.length > CONNECTIONS) this.#uncounted += 1 + BEFORE_TRIALS;
    const bound =
      (DEATHS_BEFORE + Math.max(LEAST_LOSSES, this.#configuration.maxCrashes)) * this.#poisons + this.#uncounted;
    if (++this.deaths > bound) this.history.found(`${this.deaths} processes died of #${poison}; ${bound} may`);
  }

  #strike(): void {
    const fault = this.dice.weighted(this.#weights);
    if (strike(fault, this)) this.#faults[fault] = (this.#faults[fault] ?? 0) + 1;
  }

  /** From now on nothing fails, and every order must come to its end. */
  #heal(): void {
    this.tell?.('faults are over');
    this.#isHealed = true;
    this.broker.isUp = true;
    this.broker.missing.clear();
    this.broker.refusals = 0;
    this.merchants.heal();
  }

  /** Once a second: replaces a process that is gone, and sees whether everything is over. */
  #look(): void {
    const { time, process, broker } = this;
    const now = time.now();
    const { drainedAt } = process;
    if (!process.actor.alive) {
      this.#replace(now);
      return;
    }
    if (drainedAt !== undefined && now - drainedAt > this.#configuration.shutdownTimeoutMs + SHUTDOWN_SLACK_MS) {
      this.history.found(`the process has not ended ${now - drainedAt} ms after it was asked to`);
    }
    if (!this.#isHealed || drainedAt !== undefined) return;
    if (now > (this.poison === undefined ? END_MS : POISON_END_MS)) this.#endless();
    if (!broker.isEmpty) this.#emptySince = undefined;
    else this.#emptySince ??= now;
    if (this.#emptySince === undefined) return;
    const left = process.leftOver();
    // A socket that is dead without its knowing would keep its last calls waiting.
    const isWhole = process.connections.every((each) => !each.isOpen || each.isWhole);
    if (left === undefined && isWhole) process.drain();
    else if (left === undefined) this.#emptySince = now;
    else if (now - this.#emptySince > BOOKS_MS) this.history.found(`nothing is in hand, but the books say: ${left}`);
  }

  #replace(now: number): void {
    const { process, dice } = this;
    if (this.#nextAt === undefined) {
      this.history.ended(this.broker);
      this.#nextAt = now + dice.delay(1_000, 10_000, 0.2);
      const wasLast = this.#isHealed && process.ended !== undefined && this.#emptySince !== undefined;
      if (!wasLast) return;
      const { unfinished, timedOut } = process.ended as NonNullable<typeof process.ended>;
      if (unfinished > 0 || timedOut)
        this.history.found(
          `it had nothing to do, and ended with ${unfinished} unfinished${timedOut ? ', too late' : ''}`,
        );
      this.#isOver = true;
    } else if (now >= this.#nextAt) {
      this.#nextAt = undefined;
      this.process = new Process(++this.#processes, this.#configuration);
      this.process.begin();
    }
  }

  #endless(): void {
    const { broker, process } = this;
    const where = `${broker.ready.length} ready, ${broker.unacked} unacknowledged, ${broker.ladder.size} on the ladder`;
    this.history.found(`it does not come to an end: ${where}; ${process.leftOver() ?? 'the books are clear'}`);
  }

  #outcome(): Outcome {
    const { history, broker } = this;
    const verdict = history.finding === undefined ? history.judge(broker) : undefined;
    return {
      seed: this.#seed,
      finding: history.finding,
      orders: history.messages.length,
      sends: history.sends,
      resends: history.messages.reduce((sum, { sends, retries }) => sum + Math.max(0, sends - 1 - retries), 0),
      told: history.told,
      delivered: verdict?.delivered ?? 0,
      deadLettered: verdict?.deadLettered ?? 0,
      parked: verdict?.parked ?? 0,
      faults: this.#faults,
      processes: this.#processes,
      deaths: this.deaths,
      events: this.#events,
      virtualMs: this.time.now(),
    };
  }
}

/** Small, so that limits are met and slots are used again. */
function configurationBy(dice: Dice): Omit<Configuration, 'outcomes'> {
  const prefetch = dice.whole(1, 30);
  return {
    concurrency: dice.whole(1, 10),
    prefetch,
    windowBytes: dice.one([600, 3_000, 100_000]),
    maxMessageBytes: 300,
    maxAttempts: dice.whole(1, 5),
    // With 1, an order whose settlement was not confirmed when its process died of another one is condemned by that chance.
    maxCrashes: dice.whole(2, 4),
    backoffMs: dice.one([100, 1_000]),
    backoffMaxMs: 4_000,
    deadlineMs: dice.one([8_000, 45_000, 120_000]),
    shards: dice.whole(1, 2),
    threadTimeoutMs: dice.one([1_000, 3_000]),
    shutdownTimeoutMs: dice.one([1_000, 6_000]),
    hasHandler: dice.chance(0.5),
  };
}
