import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { ChannelModel } from 'amqplib';
import { declare } from '../../../src/broker/rabbitmq/declare.ts';
import { topologyOf } from '../../../src/broker/rabbitmq/topology.ts';
import { OrderlaneError } from '../../../src/errors.ts';

type Value = string | number;
type Arguments = Readonly<Record<string, Value>>;

/** As much of a broker as declares: queues with their arguments, and refusals in RabbitMQ's words. */
class FakeBroker {
  readonly queues = new Map<string, Arguments>();
  readonly exchanges = new Set<string>();
  readonly bindings: string[] = [];
  readonly made: string[] = [];
  open = 0;
  readonly #version: string;

  constructor(version = '4.0.5') {
    this.#version = version;
  }

  asModel(): ChannelModel {
    const connection = { serverProperties: { version: this.#version } };
    return { connection, createChannel: () => Promise.resolve(this.#channel()) } as unknown as ChannelModel;
  }

  /** Everything that orderlane needs. */
  complete(queue: string): this {
    const { source, others, exchange } = topologyOf(queue, this.#version);
    for (const each of [source, ...others]) this.queues.set(each.name, each.arguments);
    this.exchanges.add(exchange);
    return this;
  }

  #channel(): EventEmitter {
    this.open++;
    const refuse = (code: number, text: string): Promise<never> => {
      this.open--;
      return Promise.reject(Object.assign(new Error(text), { code }));
    };
    const missing = (kind: string, name: string): Promise<never> =>
      refuse(404, `Operation failed: 404 (NOT-FOUND) with message "NOT_FOUND - no ${kind} '${name}' in vhost '/'"`);
    return Object.assign(new EventEmitter(), {
      checkQueue: (name: string) => (this.queues.has(name) ? Promise.resolve() : missing('queue', name)),
      checkExchange: (name: string) => (this.exchanges.has(name) ? Promise.resolve() : missing('exchange', name)),
      assertQueue: (name: string, options: { durable: boolean; arguments: Arguments }) => {
        assert.equal(options.durable, true);
        const current = this.queues.get(name);
        if (current !== undefined && !isDeepStrictEqual(current, options.arguments)) {
          const all = new Set([...Object.keys(current), ...Object.keys(options.arguments)]);
          const argument = [...all].find((each) => current[each] !== options.arguments[each]) as string;
          return refuse(406, inequivalent(name, argument, options.arguments[argument], current[argument]));
        }
        if (current === undefined) this.made.push(name);
        this.queues.set(name, options.arguments);
        return Promise.resolve();
      },
      assertExchange: (name: string, type: string) => {
        this.exchanges.add(name);
        this.made.push(`${type} exchange ${name}`);
        return Promise.resolve();
      },
      bindQueue: (queue: string, exchange: string, key: string) => {
        this.bindings.push(`${exchange} -${key}-> ${queue}`);
        return Promise.resolve();
      },
      close: () => {
        this.open--;
        return Promise.resolve();
      },
    });
  }
}

function inequivalent(queue: string, argument: string, received?: Value, current?: Value): string {
  const spelt = (value?: Value): string => {
    if (value === undefined) return 'none';
    return `the value '${value}' of type '${typeof value === 'number' ? 'signedint' : 'longstr'}'`;
  };
  return `Operation failed: QueueDeclare; 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - inequivalent arg '${argument}' for queue '${queue}' in vhost '/': received ${spelt(received)} but current is ${spelt(current)}"`;
}

async function refusal(declaring: Promise<unknown>): Promise<string> {
  try {
    await declaring;
  } catch (error) {
    assert.ok(error instanceof OrderlaneError, String(error));
    assert.equal(error.code, 'BROKER_REFUSED');
    return error.message;
  }
  throw new Error('it was not refused');
}

test('create makes what is missing, binds the ladder’s way back, and leaves no channel open', async () => {
  const broker = new FakeBroker();
  const { version, warnings } = await declare(broker.asModel(), 'pos', 'create');
  assert.deepEqual([version, warnings], ['4.0.5', []]);
  const { source, others, exchange } = topologyOf('pos', '4.0.5');
  assert.deepEqual(broker.queues, new Map([source, ...others].map((queue) => [queue.name, queue.arguments] as const)));
  assert.deepEqual(broker.made.at(-1), `direct exchange ${exchange}`);
  assert.deepEqual(broker.bindings, ['pos.retry -pos-> pos']);
  assert.equal(broker.open, 0);
});

test('passive makes nothing, and says all that is missing', async () => {
  const complete = new FakeBroker().complete('pos');
  await declare(complete.asModel(), 'pos', 'passive');
  // The exchange was there: declaring it again makes nothing, and would show another type.
  assert.deepEqual([complete.made, complete.bindings, complete.open], [['direct exchange pos.retry'], [], 0]);

  const lacking = new FakeBroker().complete('pos');
  lacking.queues.delete('pos.retry.4000');
  lacking.queues.delete('pos');
  lacking.exchanges.clear();
  const why = await refusal(declare(lacking.asModel(), 'pos', 'passive'));
  assert.match(why, /no queue 'pos', no queue 'pos\.retry\.4000', no exchange 'pos\.retry'/);
  assert.match(why, /--declare create/);
  assert.deepEqual([lacking.made, lacking.open], [[], 0]);
});

test('a queue with other arguments is refused, naming the argument, what it should be and what it is', async () => {
  for (const [name, theirs, expected] of [
    ['pos', {}, /queue 'pos' has other arguments .*x-queue-type should be 'quorum' but is absent/],
    ['pos', { 'x-queue-type': 'classic', 'x-delivery-limit': -1 }, /x-queue-type should be 'quorum' but is 'classic'/],
    ['pos.dead', { 'x-queue-type': 'quorum' }, /queue 'pos\.dead' .*x-delivery-limit should be '-1' but is absent/],
    [
      'pos.dead',
      { 'x-queue-type': 'quorum', 'x-delivery-limit': -1, 'x-max-length': 5 },
      /x-max-length should be absent but is '5'/,
    ],
  ] as const) {
    const broker = new FakeBroker().complete('pos');
    broker.queues.set(name, theirs);
    const why = await refusal(declare(broker.asModel(), 'pos', 'create'));
    assert.match(why, expected);
    assert.match(why, new RegExp(`--queue of another name.* rabbitmqctl delete_queue ${name} `));
    assert.doesNotMatch(why, /--declare passive/, 'it would ask for --declare create again');
    assert.equal(broker.open, 0);
    const passive = declare(broker.asModel(), 'pos', 'passive');
    if (name === 'pos') assert.match((await passive).warnings.join(), expected);
    else assert.match(await refusal(passive), expected);
  }
});

test('a broker that may lose messages on the ladder is refused before anything is made', async () => {
  for (const [version, refused] of [
    ['3.13.0', true],
    ['3.13.2', true],
    ['3.13.3', false],
    ['3.13.20', false],
    ['3.12.14', false],
    ['4.0.5', false],
  ] as const) {
    const broker = new FakeBroker(version);
    const declaring = declare(broker.asModel(), 'pos', 'create');
    if (!refused) await declaring;
    else assert.match(await refusal(declaring), new RegExp(`RabbitMQ ${version} .*3\\.13\\.3`));
    assert.equal(broker.queues.size > 0, !refused, version);
  }
});
