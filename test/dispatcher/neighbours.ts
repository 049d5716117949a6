import assert from 'node:assert/strict';
import type { Delivery, Sink, Source, Window } from '../../src/broker/source.ts';
import { Dispatcher, type DispatcherOptions, type DispatcherParts } from '../../src/dispatcher/dispatcher.ts';
import type { Entry } from '../../src/dispatcher/ledger.ts';
import type { Loss } from '../../src/dispatcher/shard.ts';
import type { Merchant } from '../../src/order.ts';
import type { Settlement } from '../../src/outcome.ts';
import type { ThreadOutcome } from '../../src/protocol.ts';
import { delivery, HandClock, merchant } from '../helpers/deliveries.ts';

/** A source that keeps what it is told, and refuses to settle anything twice. Publishes are confirmed by hand. */
export class RecordingSource implements Source {
  epoch = 1;
  isBlocked = false;
  capacity: number = 10_000;
  capacityBytes: number = 2 ** 28;
  /** How often more was wanted. */
  wanted = 0;
  /** Events are published, and confirmed by hand; as RabbitmqSource does, whatever has become of the channel. */
  announces = false;
  readonly settled: { readonly delivery: Delivery; readonly settlement: Settlement }[] = [];
  #unsettled = new Set<Delivery>();
  #unconfirmed: Delivery[] = [];

  give(sink: Sink, given: Delivery): void {
    this.#unsettled.add(given);
    sink.received(given);
  }

  settle(given: Delivery, settlement: Settlement): 'settled' | 'pending' | 'stale' {
    const isTold = this.announces && settlement.kind === 'ack' && settlement.event !== undefined;
    if (given.epoch !== this.epoch && !isTold) return 'stale';
    assert.ok(this.#unsettled.has(given) && !this.#unconfirmed.includes(given), `${given.identity} is settled twice`);
    this.settled.push({ delivery: given, settlement });
    if (settlement.kind === 'ack' && !isTold) {
      this.#unsettled.delete(given);
      return 'settled';
    }
    this.#unconfirmed.push(given);
    return 'pending';
  }

  /** The broker confirms what was published, up to `most` messages. */
  confirm(sink: Sink, most: number = this.#unconfirmed.length): void {
    for (const given of this.#unconfirmed.splice(0, most)) {
      this.#unsettled.delete(given); // an ack on a channel that is gone does nothing
      sink.settled(given);
    }
  }

  /** The consuming channel is lost; returns what the broker will give out again. */
  lose(sink: Sink): Delivery[] {
    const again = [...this.#unsettled];
    this.#unsettled = new Set();
    sink.lost(this.epoch++);
    return again;
  }

  wantMore(): void {
    this.wanted++;
  }

  window(): Window {
    let unsettledBytes = 0;
    for (const { bytes } of this.#unsettled) unsettledBytes += bytes;
    const { capacity, capacityBytes, isBlocked } = this;
    return { unsettled: this.#unsettled.size, unsettledBytes, capacity, capacityBytes, isBlocked };
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  backlog(): Promise<number> {
    return Promise.resolve(0);
  }

  stopConsuming(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

/** Shards that keep what they are handed, and refuse to be handed an order twice. */
export class RecordingShards implements Pick<DispatcherParts, 'shards'> {
  readonly inFlight: Set<Entry> = new Set();
  readonly down: Set<number> = new Set();
  /** Shards that have more to begin than they come to. */
  readonly behind: Set<number> = new Set();
  /** So many more may be handed out before all shards are behind. */
  hands: number = Number.POSITIVE_INFINITY;
  /** By merchant; everybody else lives on shard 0. */
  readonly places: Map<string, number> = new Map();
  readonly forgotten: string[] = [];
  handed: Entry[] = [];

  readonly shards: DispatcherParts['shards'] = {
    shardOf: (merchantId) => this.places.get(merchantId) ?? 0,
    isReady: (shard) => !this.down.has(shard),
    hasRoom: (shard) => this.hands > 0 && !this.behind.has(shard),
    anyHasRoom: () => ![0, ...this.places.values()].every((shard) => this.behind.has(shard)),
    hand: (entry) => {
      assert.ok(!this.down.has(entry.lane.shard), 'handed to a shard that is down');
      assert.ok(!this.inFlight.has(entry), `${entry.delivery.identity} is handed twice`);
      this.inFlight.add(entry);
      this.handed.push(entry);
      this.hands--;
    },
    forget: (lane) => {
      this.forgotten.push(lane.merchantId);
    },
    stats: () => [],
  };
}

export const DELIVERED: ThreadOutcome = { kind: 'delivered', status: 200 };

/** A dispatcher among neighbours that do only what a test tells them to. */
export class Rig {
  readonly clock: HandClock = new HandClock();
  readonly source: RecordingSource = new RecordingSource();
  readonly shards: RecordingShards = new RecordingShards();
  readonly merchants: Map<string, Merchant> = new Map();
  readonly warnings: string[] = [];
  /** Lines of level info and above, with their fields. */
  readonly news: object[] = [];
  readonly dispatcher: Dispatcher;
  random = 0.5;
  #unread = 0;

  constructor(options: Partial<DispatcherOptions> = {}, ...merchants: Partial<Merchant>[]) {
    for (const fields of merchants.length === 0 ? [{}] : merchants) this.have(fields);
    this.source.capacity = options.prefetch ?? this.source.capacity;
    this.dispatcher = new Dispatcher(
      {
        concurrency: 100,
        prefetch: 10_000,
        maxAttempts: 6,
        maxCrashes: 3,
        backoffMs: 1000,
        backoffMaxMs: 60_000,
        canConfirm: true,
        outcomes: 'off',
        ...options,
      },
      {
        source: this.source,
        shards: this.shards.shards,
        directory: { find: (merchantId) => this.merchants.get(merchantId) },
        clock: this.clock,
        random: () => this.random,
        log: {
          debug: () => undefined,
          info: (fields, message) => this.news.push({ ...fields, message }),
          warn: (fields, message) => {
            this.warnings.push(message);
            this.news.push({ ...fields, message });
          },
        },
      },
    );
  }

  have(fields: Partial<Merchant>): void {
    const made = merchant(fields);
    this.merchants.set(made.id, made);
  }

  receive(fields: Partial<Delivery> = {}): Delivery {
    const given = delivery({ epoch: this.source.epoch, ...fields });
    this.source.give(this.dispatcher, given);
    return given;
  }

  /** Orders of these merchants, named `<merchant><number>`, in this order: `a1 a2 b1`. */
  receiveAll(names: string, fields: Partial<Delivery> = {}): void {
    for (const name of names.split(' '))
      this.receive({ identity: name, merchantId: name.replace(/\d+$/, ''), ...fields });
  }

  /** The same copy once more, as the broker gives it out after a lost connection. */
  again(given: Delivery, fields: Partial<Delivery> = {}): Delivery {
    const { deadlineAt, notBeforeAt } = given;
    return this.receive({ ...given, epoch: this.source.epoch, redelivered: true, deadlineAt, notBeforeAt, ...fields });
  }

  entry(identity: string): Entry {
    for (const entry of this.shards.inFlight) if (entry.delivery.identity === identity) return entry;
    throw new Error(`${identity} is not in flight`);
  }

  isInFlight(identity: string): boolean {
    return [...this.shards.inFlight].some(({ delivery: { identity: each } }) => each === identity);
  }

  /** The attempts at these orders come back, as one message of a thread. */
  end(names: string, outcome: ThreadOutcome = DELIVERED): void {
    for (const name of names.split(' ')) {
      const entry = this.entry(name);
      this.shards.inFlight.delete(entry);
      this.dispatcher.outcome(entry, outcome);
    }
    this.dispatcher.turn();
  }

  /** A shard's thread is lost; all of its orders were being sent, but for those that are named. */
  loseThread(loss: { shard?: number; handed?: string; onStack?: string; why?: string } = {}): void {
    const { shard = 0, why = 'the thread exited' } = loss;
    const onStack = loss.onStack === undefined ? undefined : this.entry(loss.onStack);
    const handed = (loss.handed ?? '').split(' ').filter((name) => name !== '');
    const held = [...this.shards.inFlight].filter(({ lane }) => lane.shard === shard);
    const judged: Loss = {
      why,
      onStack,
      handed: held.filter(({ delivery: { identity } }) => handed.includes(identity)),
      sending: held.filter(({ delivery: { identity } }) => !handed.includes(identity)),
    };
    for (const entry of held) this.shards.inFlight.delete(entry);
    this.shards.down.add(shard);
    this.dispatcher.threadLost(shard, judged);
    this.dispatcher.turn();
  }

  threadIsBack(shard = 0): void {
    this.shards.down.delete(shard);
    this.dispatcher.shardReady(shard);
  }

  /** The identities of what was handed out since this was last asked. */
  handed(): string {
    const names = this.shards.handed.map((entry) => entry.delivery.identity);
    this.shards.handed = [];
    return names.join(' ');
  }

  /** What was settled since this was last asked, as `<identity> <how>`. */
  settled(): string[] {
    const fresh = this.source.settled.slice(this.#unread);
    this.#unread = this.source.settled.length;
    return fresh.map(({ delivery: { identity }, settlement }) => `${identity} ${gist(settlement)}`);
  }

  lastSettlement(): Settlement | undefined {
    return this.source.settled.at(-1)?.settlement;
  }

  /** Everything has ended, and nothing is left over. */
  assertAtRest(): void {
    const { inFlight, waiting, unsettled } = this.dispatcher.snapshot();
    assert.deepEqual({ inFlight, waiting, unsettled }, { inFlight: 0, waiting: 0, unsettled: 0 });
    assert.equal(this.dispatcher.busy, 0);
  }
}

function gist(settlement: Settlement): string {
  switch (settlement.kind) {
    case 'retry':
      return `retry ${settlement.attempt}${settlement.confirmFirst ? ' confirm' : ''}`;
    case 'dead-letter':
      return `dead ${settlement.reason}`;
    case 'ack':
    case 'defer':
    case 'park':
      return settlement.kind;
  }
}
