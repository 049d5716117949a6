import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageProperties } from 'amqplib';
import fc from 'fast-check';
import { countHeader, HEADER, type Headers, numberHeader } from '../../src/broker/codec/headers.ts';
import { keptOf } from '../../src/broker/rabbitmq/kept.ts';
import { republish } from '../../src/broker/rabbitmq/republish.ts';
import type { Delivery, Sink, Source, Window } from '../../src/broker/source.ts';
import { Dispatcher } from '../../src/dispatcher/dispatcher.ts';
import { type Entry, keyOf } from '../../src/dispatcher/ledger.ts';
import type { Merchant } from '../../src/order.ts';
import type { Settlement } from '../../src/outcome.ts';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { delivery, HandClock, merchant, START, WALL } from '../helpers/deliveries.ts';

const PREFETCH = 20;

/** What of a message its copies differ in, as headers would carry it. */
type Message = Pick<
  Delivery,
  | 'identity'
  | 'merchantId'
  | 'body'
  | 'hop'
  | 'attempt'
  | 'crashes'
  | 'returns'
  | 'cameBack'
  | 'confirmFirst'
  | 'possiblySent'
  | 'deadlineAt'
  | 'notBeforeAt'
> & { readonly redelivered: boolean; readonly by: number };

interface Publish {
  readonly given: Delivery;
  readonly settlement: Exclude<Settlement, { kind: 'ack' }>;
}

/** RabbitMQ as far as it matters here: what is in which queue, who has what unacked, and which publish is confirmed. */
class Broker implements Source {
  queue: Message[] = [];
  ladder: Message[] = [];
  /** By identity: in which ways the order has ended. */
  readonly ends = new Map<string, Set<string>>();
  /** Which process is running; a delivery is ours when it was this one that republished it. */
  instance = 1;
  readonly #seen = new Set<string>();
  /** Copies whose next one is stored already. */
  readonly #succeeded = new Set<string>();
  #unacked = new Map<Delivery, Message>();
  #publishes: Publish[] = [];
  #epoch = 1;
  readonly #noTwins: boolean;

  /**
   * With `noTwins` it never has two copies of an order. A real one may, for as long as a publish is stored and not yet
   * confirmed and acked; only the process that published it can tell them apart, so after its death nobody can.
   */
  constructor(noTwins: boolean) {
    this.#noTwins = noTwins;
  }

  settle(given: Delivery, settlement: Settlement): 'settled' | 'pending' | 'stale' {
    if (given.epoch !== this.#epoch) return 'stale';
    assert.ok(this.#unacked.has(given), `${keyOf(given)} was settled before`);
    assert.ok(!this.#publishes.some((publish) => publish.given === given), `${keyOf(given)} is being settled`);
    if (settlement.kind === 'ack') {
      this.#unacked.delete(given);
      return 'settled';
    }
    this.#publishes.push({ given, settlement });
    return 'pending';
  }

  deliver(sink: Sink): void {
    const message = this.queue.shift();
    if (message === undefined) return;
    const ours = message.by === this.instance;
    const given = delivery({ ...message, epoch: this.#epoch, publishedAt: WALL, ours });
    this.#unacked.set(given, message);
    this.#seen.add(keyOf(given));
    sink.received(given);
  }

  /** A publish is stored. Its confirm may get lost with the connection: then it is published again later. */
  store(sink: Sink, confirmed: boolean): void {
    const publish = this.#publishes.shift();
    if (publish === undefined) return;
    const { given, settlement } = publish;
    const twin = this.#succeeded.has(keyOf(given));
    this.#succeeded.add(keyOf(given));
    if (settlement.kind === 'dead-letter' || settlement.kind === 'park') this.end(given.identity, settlement.kind);
    else if (!twin || !this.#noTwins) this.ladder.push(copyOf(given, settlement, this.instance));
    if (!confirmed) {
      this.#publishes.push(publish);
      return;
    }
    this.#unacked.delete(given); // nothing, when its channel is gone
    sink.settled(given);
  }

  end(identity: string, how: string): void {
    const ways = this.ends.get(identity) ?? new Set();
    this.ends.set(identity, ways.add(how));
  }

  /** Everything unacked comes again, at the head of the queue. */
  loseChannel(sink: Sink): void {
    this.queue.unshift(
      ...[...this.#unacked.values()].map((message) => ({
        ...message,
        redelivered: true,
        cameBack: message.cameBack + 1,
      })),
    );
    this.#unacked = new Map();
    sink.lost(this.#epoch++);
  }

  /** The process dies: what it had unacked comes again, and what it had not yet published never is. */
  loseProcess(sink: Sink): void {
    this.#publishes = [];
    this.loseChannel(sink);
    if (this.#noTwins) this.queue = this.queue.filter((message) => !this.#succeeded.has(keyOf(message)));
    this.instance++;
  }

  returnFromLadder(): void {
    const message = this.ladder.shift();
    if (message !== undefined) this.queue.push(message);
  }

  /** On the ladder, twins of copies that have come back already not counted. */
  get onLadder(): number {
    return this.ladder.filter((message) => !this.#seen.has(keyOf(message))).length;
  }

  get isEmpty(): boolean {
    return this.queue.length + this.ladder.length + this.#unacked.size + this.#publishes.length === 0;
  }

  wantMore(): void {}

  window(): Window {
    return {
      unsettled: this.#unacked.size,
      unsettledBytes: 0,
      capacity: PREFETCH,
      capacityBytes: Number.POSITIVE_INFINITY,
      isBlocked: false,
    };
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  backlog(): Promise<number> {
    return Promise.resolve(this.queue.length);
  }

  stopConsuming(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

/** The copy that reaches the next reader, by what the republished message's headers say. */
function copyOf(given: Delivery, settlement: Extract<Settlement, { kind: 'retry' | 'defer' }>, by: number): Message {
  const properties = { headers: {} } as MessageProperties;
  const times = { wall: WALL, deadline: WALL };
  const headers = republish('orders', given, keptOf(properties), settlement, String(by), times).properties
    .headers as Headers;
  const notBefore = numberHeader(headers, HEADER.notBefore);
  return {
    identity: given.identity,
    merchantId: given.merchantId,
    body: given.body,
    hop: countHeader(headers, HEADER.hop, 0),
    attempt: countHeader(headers, HEADER.attempt, 1),
    crashes: countHeader(headers, HEADER.crashes, 0),
    returns: countHeader(headers, HEADER.returns, 0),
    cameBack: 0,
    confirmFirst: headers[HEADER.confirmFirst] === true,
    possiblySent: headers[HEADER.possiblySent] === true,
    deadlineAt: given.deadlineAt,
    notBeforeAt: notBefore === undefined ? 0 : START + (notBefore - WALL),
    redelivered: false,
    by,
  };
}

const MERCHANTS: readonly Merchant[] = [
  merchant({ id: 'i', concurrency: 3 }),
  merchant({ id: 'j', concurrency: 1, weight: 3 }),
  merchant({ id: 'c', concurrency: 2, duplicates: 'confirm' }),
  merchant({ id: 'n', concurrency: 2, duplicates: 'never' }),
];
const OUTCOMES: readonly ThreadOutcome[] = [
  { kind: 'delivered', status: 200 },
  { kind: 'delivered', status: 200 },
  { kind: 'delivered', status: 200 },
  { kind: 'rejected', reason: '422', status: 422 },
  { kind: 'malformed', reason: 'not JSON' },
  { kind: 'not-sent', reason: 'refused' },
  { kind: 'ambiguous', reason: 'reset' },
  { kind: 'throttled', reason: '429', retryAfterMs: 600_000 },
  { kind: 'failed', reason: 'TypeError' },
];

const STEPS = {
  publish: 6,
  deliver: 10,
  end: 8,
  store: 6,
  loseConfirm: 1,
  returnFromLadder: 4,
  loseChannel: 1,
  loseThread: 1,
  threadIsBack: 3,
  fallBehind: 1,
  catchUp: 3,
  pass: 2,
  housekeeping: 1,
  drain: 1,
  die: 1,
} as const;
type Step = { readonly kind: keyof typeof STEPS; readonly number: number };

/** Drives a dispatcher between the broker and two shards, step by step, and then to the end. */
class World {
  readonly clock = new HandClock();
  readonly broker: Broker;
  dispatcher: Dispatcher;
  readonly #down = new Set<number>();
  /** Shards that have no room for whom: they have more to begin than they come to, or no time to spare. */
  readonly #behind = new Map<number, 'anybody' | 'whoever catches up'>();
  swept = false;
  #inFlight: Entry[] = [];
  /** By copy: how often this process has sent it, or may have. */
  #sends = new Map<string, number>();
  /** Orders of which something may have reached the merchant, in any process's life. */
  readonly #maybeSent = new Set<string>();
  #published = 0;

  constructor({ noTwins = false } = {}) {
    this.broker = new Broker(noTwins);
    this.dispatcher = this.#start();
  }

  #start(): Dispatcher {
    return new Dispatcher(
      {
        concurrency: 5,
        prefetch: PREFETCH,
        maxAttempts: 4,
        maxCrashes: 2,
        backoffMs: 1000,
        backoffMaxMs: 4000,
        canConfirm: true,
        outcomes: 'off',
      },
      {
        source: this.broker,
        shards: {
          shardOf: (merchantId) => (merchantId === 'i' || merchantId === 'n' ? 0 : 1),
          isReady: (shard) => !this.#down.has(shard),
          hasRoom: (shard, catchesUp) =>
            this.#behind.get(shard) !== 'anybody' && !(catchesUp && this.#behind.has(shard)),
          anyHasRoom: () => [0, 1].some((shard) => this.#behind.get(shard) !== 'anybody'),
          hand: (entry) => {
            assert.ok(!this.#inFlight.includes(entry), `${entry.key} is handed twice`);
            assert.ok(this.clock.now() < entry.delivery.deadlineAt, `${entry.key} is handed after its deadline`);
            if (this.#maybeSent.has(entry.delivery.identity)) {
              const { duplicates } = entry.lane.merchant;
              assert.notEqual(duplicates, 'never', `${entry.key} may have been sent before`);
              if (duplicates === 'confirm') assert.ok(entry.confirmFirst, `${entry.key} is sent again unasked`);
            }
            this.#inFlight.push(entry);
            assert.ok(this.#inFlight.length <= 5, 'more in flight than the process may have');
            const ofIts = this.#inFlight.filter(({ lane }) => lane === entry.lane);
            assert.ok(ofIts.length <= entry.lane.merchant.concurrency, 'more in flight than the merchant may have');
          },
          forget: () => undefined,
          stats: () => [],
        },
        directory: { find: (merchantId) => MERCHANTS.find(({ id }) => id === merchantId) },
        clock: this.clock,
        random: () => 0.9,
        log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
      },
    );
  }

  take({ kind, number }: Step): void {
    const { broker, dispatcher } = this;
    switch (kind) {
      case 'publish':
        this.#publish(number);
        break;
      case 'deliver':
        for (let i = 0; i <= number % 4; i++) broker.deliver(dispatcher);
        break;
      case 'end':
        this.#end(number % (this.#inFlight.length || 1), OUTCOMES[number % OUTCOMES.length] as ThreadOutcome);
        break;
      case 'store':
        broker.store(dispatcher, true);
        break;
      case 'loseConfirm':
        broker.store(dispatcher, false);
        break;
      case 'returnFromLadder':
        broker.returnFromLadder();
        break;
      case 'loseChannel':
        broker.loseChannel(dispatcher);
        break;
      case 'loseThread':
        this.#loseThread(number);
        break;
      case 'threadIsBack':
        this.#threadIsBack(number % 2);
        break;
      case 'fallBehind':
        if (!this.#down.has(number % 2)) {
          this.#behind.set(number % 2, number % 4 < 2 ? 'anybody' : 'whoever catches up');
        }
        break;
      case 'catchUp':
        this.#catchUp(number % 2);
        break;
      case 'pass':
        this.#pass((number % 60) * 1000);
        break;
      case 'housekeeping':
        dispatcher.sweep();
        this.swept = true;
        dispatcher.directoryChanged();
        break;
      case 'drain':
        dispatcher.drain();
        break;
      case 'die':
        this.die();
    }
    this.#check();
  }

  /** What is in flight may have been sent; another process takes over. */
  die(): void {
    for (const entry of this.#inFlight) this.#maybeSent.add(entry.delivery.identity);
    this.#inFlight = [];
    this.#sends = new Map();
    this.#down.clear();
    this.#behind.clear();
    this.broker.loseProcess(this.dispatcher);
    this.dispatcher = this.#start();
  }

  /** Everything that is left is delivered, at a merchant that takes it. */
  finish(): void {
    for (let round = 0; !this.broker.isEmpty || this.#inFlight.length > 0; round++) {
      assert.ok(round < 500, 'it does not come to an end');
      for (const shard of [0, 1]) {
        this.#threadIsBack(shard);
        this.#catchUp(shard);
      }
      while (this.broker.queue.length > 0) this.broker.deliver(this.dispatcher);
      while (this.#inFlight.length > 0) this.#end(0, { kind: 'delivered' });
      for (let i = 0; i < 100; i++) this.broker.store(this.dispatcher, true);
      this.#pass(2000);
      this.#check();
      while (this.broker.ladder.length > 0) this.broker.returnFromLadder();
    }
    const { inFlight, waiting, unsettled } = this.dispatcher.snapshot();
    assert.deepEqual({ inFlight, waiting, unsettled }, { inFlight: 0, waiting: 0, unsettled: 0 });
    assert.equal(this.dispatcher.busy, 0);
    const ends = [...this.broker.ends.values()];
    assert.equal(ends.length, this.#published, 'an order was lost');
    // Another process does not know what was delivered and not yet acknowledged: a person may have to look at it.
    if (this.broker.instance > 1) return;
    for (const ways of ends) assert.equal(ways.size, 1, `an order ended as ${[...ways].join(' and ')}`);
  }

  #publish(number: number): void {
    const identity = `m-${++this.#published}`;
    this.broker.queue.push({
      identity,
      merchantId: (MERCHANTS[number % MERCHANTS.length] as Merchant).id,
      body: `{"id":${this.#published}}`,
      hop: 0,
      attempt: 1,
      crashes: 0,
      returns: 0,
      cameBack: 0,
      confirmFirst: false,
      possiblySent: false,
      deadlineAt: this.clock.now() + 300_000,
      notBeforeAt: 0,
      redelivered: false,
      by: 0,
    });
  }

  #end(index: number, outcome: ThreadOutcome): void {
    const [entry] = this.#inFlight.splice(index, 1);
    if (entry === undefined) return;
    this.#sent(entry);
    const { identity } = entry.delivery;
    if (outcome.kind === 'delivered' || outcome.kind === 'ambiguous') this.#maybeSent.add(identity);
    if (outcome.kind === 'delivered') this.broker.end(identity, 'delivered');
    this.dispatcher.outcome(entry, outcome);
    this.dispatcher.turn();
  }

  #loseThread(number: number): void {
    const shard = number % 2;
    if (this.#down.has(shard)) return;
    const held = this.#inFlight.filter(({ lane }) => lane.shard === shard);
    for (const entry of held) this.#inFlight.splice(this.#inFlight.indexOf(entry), 1);
    const sending = held.filter((_, index) => (number >> index) % 2 === 0);
    const handed = held.filter((entry) => !sending.includes(entry));
    for (const entry of sending) {
      this.#sent(entry);
      this.#maybeSent.add(entry.delivery.identity);
    }
    this.#down.add(shard);
    this.#behind.delete(shard);
    const onStack = number % 3 === 0 ? undefined : sending[number % (sending.length || 1)];
    this.dispatcher.threadLost(shard, { why: 'the thread exited', onStack, handed, sending });
    this.dispatcher.turn();
  }

  #threadIsBack(shard: number): void {
    if (this.#down.delete(shard)) this.dispatcher.shardReady(shard);
  }

  #catchUp(shard: number): void {
    if (this.#behind.delete(shard)) this.dispatcher.turn();
  }

  #pass(ms: number): void {
    this.clock.pass(ms);
    this.dispatcher.tick();
  }

  #sent(entry: Entry): void {
    const { identity, hop } = entry.delivery;
    const copy = `${identity} hop ${hop}`;
    const sends = (this.#sends.get(copy) ?? 0) + 1;
    this.#sends.set(copy, sends);
    assert.equal(sends, 1, `${copy} was sent twice`);
  }

  #check(): void {
    const { inFlight, waiting, onLadder } = this.dispatcher.snapshot();
    assert.equal(inFlight, this.#inFlight.length);
    assert.ok(waiting >= 0 && onLadder >= 0);
  }
}

function steps(without: readonly Step['kind'][] = []): fc.Arbitrary<readonly Step[]> {
  const kinds = Object.keys(STEPS) as Step['kind'][];
  const step = fc.oneof(
    ...kinds
      .filter((kind) => !without.includes(kind))
      .map((kind) => ({
        weight: STEPS[kind],
        arbitrary: fc.record({ kind: fc.constant(kind), number: fc.nat({ max: 1000 }) }),
      })),
  );
  return fc.array(step, { minLength: 20, maxLength: 200, size: 'max' });
}

test('whatever happens in whatever order, each order ends once, each delivery is settled once, each copy is sent once', () => {
  fc.assert(
    fc.property(steps(['drain', 'die']), (sequence) => {
      const world = new World();
      for (const step of sequence) world.take(step);
      world.finish();
    }),
    { numRuns: 300 },
  );
});

test('whatever happens in whatever order, nothing is called empty while an order of ours is in hand or on the ladder', () => {
  fc.assert(
    fc.property(steps(['drain', 'die']), (sequence) => {
      const world = new World();
      for (const step of sequence) {
        world.take(step);
        // Past its time on the ladder a copy is the queue's own count to know.
        if (world.dispatcher.isEmpty && !world.swept) assert.equal(world.broker.onLadder, 0);
      }
      world.finish();
      assert.equal(world.dispatcher.isEmpty, true);
    }),
    { numRuns: 300 },
  );
});

test('even across drains and deaths, nothing that may have been sent is sent again to `never`, or unasked to `confirm`', () => {
  fc.assert(
    fc.property(steps(), (sequence) => {
      const world = new World({ noTwins: true });
      for (const step of sequence) world.take(step);
      world.die();
      world.finish();
    }),
    { numRuns: 300 },
  );
});
