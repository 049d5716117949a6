import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Waiting } from '../helpers/waiting.ts';
import { FrameReader, kindOf } from './amqp-frames.ts';

export type Side = 'client' | 'broker';

export interface Frame {
  readonly connection: ProxiedConnection;
  readonly from: Side;
  /** Among those of its side on its connection, from 1; the protocol header is the client's first. */
  readonly number: number;
  /** A method such as `basic.publish`, or `header`, `body`, `heartbeat`, `protocol`. */
  readonly kind: string;
  readonly bytes: Buffer;
}

/**
 * What becomes of a frame: it passes; it passes after so many milliseconds, and what is behind it waits; the connection is cut
 * before it, within it or after it; or it and everything later, both ways, vanishes while the sockets stay open.
 */
export type Action = 'pass' | 'cut-before' | 'cut-within' | 'cut-after' | 'black-hole' | { readonly delayMs: number };

export type Policy = (frame: Frame) => Action;

const PASS: Policy = () => 'pass';

/** A TCP proxy before a broker that knows where AMQP's frames begin and end, and does to each what `policy` says. */
export class AmqpProxy {
  /** Asked for each frame. */
  policy: Policy = PASS;
  readonly #brokerPort: number;
  readonly #server: Server;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #waiting = new Waiting(() => `${this.opened} connections so far, ${this.struck} frames struck`);
  /** Connections so far. */
  opened = 0;
  /** Frames so far that did not simply pass. */
  struck = 0;

  private constructor(brokerPort: number) {
    this.#brokerPort = brokerPort;
    this.#server = createServer((client) => this.#accept(client));
  }

  static async start(brokerPort: number): Promise<AmqpProxy> {
    const proxy = new AmqpProxy(brokerPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }

  /** The open connections whose client calls itself so. */
  named(name: string): readonly ProxiedConnection[] {
    return [...this.#connections].filter((connection) => connection.name === name);
  }

  /** Lets everything pass from the next frame on. */
  pass(): void {
    this.policy = PASS;
  }

  /** Resolves as soon as `ask` finds something; asked after each frame, and when a connection opens or ends. */
  until<T>(what: string, ask: () => T | undefined | false): Promise<T> {
    return this.#waiting.until(what, ask);
  }

  stop(): void {
    this.#server.close();
    for (const connection of this.#connections) connection.cut();
  }

  #accept(client: Socket): void {
    const broker = connect({ port: this.#brokerPort, host: '127.0.0.1', noDelay: true });
    client.setNoDelay(true);
    const connection = new ProxiedConnection(++this.opened, client, broker, {
      decide: (frame) => {
        const action = this.policy(frame);
        if (action !== 'pass') this.struck++;
        return action;
      },
      happened: () => this.#waiting.changed(),
      ended: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    this.#waiting.changed();
  }
}

interface ConnectionEvents {
  decide(frame: Frame): Action;
  happened(): void;
  ended(): void;
}

/** One direction's state. */
interface Lane {
  readonly reader: FrameReader;
  readonly out: Socket;
  count: number;
  /** Frames behind one that is delayed; undefined when none is. */
  held: Buffer[] | undefined;
}

/** A client's connection through the proxy. */
export class ProxiedConnection {
  /** Which one it is, from 1. */
  readonly number: number;
  /** What the client calls itself, `orderlane consuming` say; undefined until it has said so. */
  name: string | undefined;
  readonly #sockets: readonly Socket[];
  readonly #lanes: Readonly<Record<Side, Lane>>;
  readonly #events: ConnectionEvents;
  #state: 'open' | 'black-hole' | 'ended' = 'open';

  constructor(number: number, client: Socket, broker: Socket, events: ConnectionEvents) {
    this.number = number;
    this.#events = events;
    this.#sockets = [client, broker];
    this.#lanes = {
      client: { reader: new FrameReader('client'), out: broker, count: 0, held: undefined },
      broker: { reader: new FrameReader('broker'), out: client, count: 0, held: undefined },
    };
    for (const [side, socket] of [
      ['client', client],
      ['broker', broker],
    ] as const) {
      socket.on('data', (chunk: Buffer) => this.#take(side, chunk));
      socket.on('error', () => undefined); // its close follows
      socket.on('close', () => this.#onClose());
    }
  }

  /** How many frames have come from a side. */
  count(side: Side): number {
    return this.#lanes[side].count;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Ends both sockets at once; what is on its way is lost. */
  cut(): void {
    this.#state = 'ended';
    for (const socket of this.#sockets) socket.destroy();
  }

  /** From now on nothing passes, and nobody is told. */
  blackHole(): void {
    if (this.#state === 'open') this.#state = 'black-hole';
  }

  /** Says something in the broker's name. */
  tellClient(frame: Buffer): void {
    this.#lanes.broker.out.write(frame);
  }

  #take(from: Side, chunk: Buffer): void {
    if (this.#state !== 'open') return;
    const lane = this.#lanes[from];
    for (const bytes of lane.reader.read(chunk)) {
      const kind = kindOf(bytes);
      if (kind === 'connection.start-ok') this.name = /orderlane \w+/.exec(bytes.toString('latin1'))?.[0];
      const action = this.#events.decide({ connection: this, from, number: ++lane.count, kind, bytes });
      this.#carryOut(action, lane, bytes);
      this.#events.happened();
      if (this.#state !== 'open') return;
    }
  }

  #carryOut(action: Action, lane: Lane, bytes: Buffer): void {
    switch (action) {
      case 'pass':
        if (lane.held === undefined) lane.out.write(bytes);
        else lane.held.push(bytes);
        return;
      case 'black-hole':
        this.#state = 'black-hole';
        return;
      case 'cut-before':
        this.cut();
        return;
      case 'cut-within':
        this.#cutAfter(lane, bytes.subarray(0, bytes.length >> 1));
        return;
      case 'cut-after':
        this.#cutAfter(lane, bytes);
        return;
      default:
        this.#delay(lane, bytes, action.delayMs);
    }
  }

  /** What was passed on before must arrive, so the sockets go when the system has taken it. */
  #cutAfter(lane: Lane, bytes: Buffer): void {
    this.#state = 'ended';
    lane.out.write(bytes, () => this.cut());
  }

  #delay(lane: Lane, bytes: Buffer, delayMs: number): void {
    const behind: Buffer[] = [bytes];
    if (lane.held !== undefined) {
      lane.held.push(bytes);
      return;
    }
    lane.held = behind;
    setTimeout(() => {
      lane.held = undefined;
      if (this.#state === 'open') for (const each of behind) lane.out.write(each);
    }, delayMs).unref();
  }

  #onClose(): void {
    if (this.#state === 'black-hole') return; // the other one must not notice
    this.#state = 'ended';
    for (const socket of this.#sockets) socket.destroySoon();
    this.#events.ended();
    this.#events.happened();
  }
}
