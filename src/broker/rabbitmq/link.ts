import { type ChannelModel, connect } from 'amqplib';
import { messageOf, OrderlaneError } from '../../errors.ts';
import { readTlsFiles, type TlsFiles, tlsFault, UntrustedBroker } from './tls.ts';
import { within } from './within.ts';

export interface Addresses extends TlsFiles {
  /** AMQP URLs, tried in turn. */
  readonly urls: readonly string[];
}

export interface LinkEvents {
  /** Sets up channels on a new connection. Rejecting makes the link try again, or fail at start on BROKER_REFUSED. */
  open(connection: ChannelModel, epoch: number): Promise<void>;
  /** The connection of this epoch, for which `open` was called, is gone. */
  lost(epoch: number, why: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
}

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'open'; readonly connection: ChannelModel; readonly epoch: number }
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'stopped' };

const HEARTBEAT_S = 10;
const CONNECT_LIMIT_MS = 10_000;
/** However little time is left at start, a broker has this long to answer. */
const TRY_MS = 1_000;
const SETUP_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 2_000;
const BACKOFF_MS = 250;
const BACKOFF_MAX_MS = 15_000;

/**
 * One connection to the broker, kept alive: connects to one address after the other, sets up through `open`, and starts
 * over with backoff and jitter whenever it is lost. amqplib's own recovery is not used: a socket that is lost during its
 * setup is reported ready and never reconnects.
 */
export class Link {
  readonly #role: string;
  readonly #addresses: Addresses;
  readonly #events: LinkEvents;
  #state: State = { kind: 'idle' };
  #epoch = 0;
  #failures = 0;
  /** Why the connection that is being set up is not to be used. */
  #unusable: string | undefined;
  /** Ends the setup that is under way: what it waits for need not come when the socket is gone. */
  #abandonSetup: (why: Error) => void = () => undefined;

  constructor(role: string, addresses: Addresses, events: LinkEvents) {
    this.#role = role;
    this.#addresses = addresses;
    this.#events = events;
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open';
  }

  /** Connections that replaced an earlier one. */
  get reconnects(): number {
    return Math.max(0, this.#epoch - 1);
  }

  /**
   * Resolves when the link is open and set up; gives up after `waitMs`, or at once when the broker refuses us, or when no
   * address has a broker to be trusted.
   */
  async start(waitMs: number): Promise<void> {
    const giveUpAt = performance.now() + waitMs;
    const { urls } = this.#addresses;
    const untrusted = new Map<string, UntrustedBroker>();
    let told = false;
    for (;;) {
      const url = this.#nextUrl();
      try {
        const leftMs = giveUpAt - performance.now();
        await this.#connect(url, Math.min(CONNECT_LIMIT_MS, Math.max(TRY_MS, Math.round(leftMs))));
        return;
      } catch (error) {
        if (this.#isStopped()) throw error;
        if (error instanceof UntrustedBroker) {
          if (!untrusted.has(url))
            this.#events.warn({ reason: error.message }, 'an address of the broker is passed over');
          untrusted.set(url, error);
          if (urls.every((each) => untrusted.has(each))) throw error;
          continue;
        }
        if (error instanceof OrderlaneError) throw error;
        untrusted.delete(url);
        const waited = this.#backoff();
        if (performance.now() + waited > giveUpAt) throw unreachable(urls, waitMs, [...untrusted.values(), error]);
        if (!told) this.#events.info({ broker: urls.map(redacted), reason: why(error) }, 'waiting for the broker');
        told = true;
        await new Promise((resolve) => setTimeout(resolve, waited));
        if (this.#isStopped()) throw error;
      }
    }
  }

  /** Drops the connection of this epoch, if it is still the one, and connects anew. */
  fail(epoch: number, why: string): void {
    const state = this.#state;
    if (state.kind === 'connecting' && epoch === this.#epoch) {
      this.#unusable ??= why;
      this.#abandonSetup(new Error(why));
    }
    if (state.kind !== 'open' || state.epoch !== epoch) return;
    this.#state = { kind: 'connecting' };
    void closeQuietly(state.connection);
    this.#events.lost(epoch, why);
    this.#reconnect(why);
  }

  /** Safe before start and twice. */
  async stop(): Promise<void> {
    const state = this.#state;
    this.#state = { kind: 'stopped' };
    if (state.kind === 'waiting') clearTimeout(state.timer);
    if (state.kind === 'open') await closeQuietly(state.connection);
  }

  #nextUrl(): string {
    const { urls } = this.#addresses;
    return urls[this.#failures % urls.length] as string;
  }

  async #connect(url: string, limitMs: number = CONNECT_LIMIT_MS): Promise<void> {
    this.#state = { kind: 'connecting' };
    let connection: ChannelModel | undefined;
    try {
      const dialling = this.#dial(url);
      connection = await within(limitMs, 'a connection attempt', dialling).catch((error: unknown) => {
        // One that comes too late must not stay open; nor may it be lost unheard, which would end the process.
        dialling.then(
          (late) => closeQuietly(late.on('error', () => undefined)),
          () => undefined,
        );
        throw error;
      });
      const epoch = ++this.#epoch;
      this.#unusable = undefined;
      const abandoned = Promise.withResolvers<never>();
      abandoned.promise.catch(() => undefined); // heard while there is a setup
      this.#abandonSetup = abandoned.reject;
      // Both always listened to, from the first moment: an unheard 'error' would end the process.
      let why: string | undefined;
      connection.on('error', (error: Error) => {
        why ??= messageOf(error);
      });
      connection.on('close', (error?: Error) => {
        this.fail(epoch, why ?? (error === undefined ? 'the connection closed' : messageOf(error)));
      });
      const setup = Promise.race([this.#events.open(connection, epoch), abandoned.promise]);
      await within(SETUP_LIMIT_MS, 'the setup of channels and queues', setup);
      if (this.#isStopped()) throw new Error('stopped');
      if (this.#unusable !== undefined) throw new Error(this.#unusable);
      this.#state = { kind: 'open', connection, epoch };
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      if (connection !== undefined) {
        void closeQuietly(connection);
        this.#events.lost(this.#epoch, messageOf(error));
      }
      throw refused(error, url, this.#addresses) ?? error;
    }
  }

  async #dial(url: string): Promise<ChannelModel> {
    const parsed = new URL(url);
    if (!parsed.searchParams.has('heartbeat')) parsed.searchParams.set('heartbeat', String(HEARTBEAT_S));
    return await connect(parsed.href, {
      noDelay: true,
      timeout: CONNECT_LIMIT_MS,
      clientProperties: { connection_name: `orderlane ${this.#role}` },
      // Read at every dial: certificates are renewed while we run.
      ...readTlsFiles(this.#addresses),
    });
  }

  #reconnect(reason: string): void {
    if (this.#isStopped()) return;
    const waitMs = this.#backoff();
    this.#events.warn({ reason, delayMs: Math.round(waitMs) }, `${this.#role} connection lost; reconnecting`);
    const timer = setTimeout(() => {
      this.#connect(this.#nextUrl()).then(
        () => this.#events.info({}, `${this.#role} connection is back`),
        (error: unknown) => this.#reconnect(why(error)),
      );
    }, waitMs);
    this.#state = { kind: 'waiting', timer };
  }

  /** Exponential with half jitter: many processes that lost one broker must not come back as one. */
  #backoff(): number {
    const full = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(this.#failures, 10));
    return full / 2 + (Math.random() * full) / 2;
  }

  #isStopped(): boolean {
    return this.#state.kind === 'stopped';
  }
}

/** A broker URL without its password. */
export function redacted(url: string): string {
  try {
    const parsed = new URL(url);
    if (parsed.password !== '') parsed.password = '***';
    return parsed.href;
  } catch {
    return '(not a URL)';
  }
}

async function closeQuietly(connection: ChannelModel): Promise<void> {
  try {
    await within(CLOSE_LIMIT_MS, 'a close', connection.close());
  } catch {
    // It is gone already, or does not answer: end the socket, which is all that close would have done.
    (connection.connection as unknown as { stream: { destroy(): void } }).stream.destroy();
  }
}

function unreachable(urls: readonly string[], waitMs: number, causes: readonly unknown[]): OrderlaneError {
  const where = urls.map(redacted).join(', ');
  return new OrderlaneError(
    'BROKER_UNREACHABLE',
    `no broker at ${where} within ${waitMs / 1000} s: ${causes.map(why).join('; ')}. Check that RabbitMQ runs there, or set --broker; --connect-wait sets how long to try.`,
    { cause: causes.at(-1) },
  );
}

/** How amqplib reads an answer in HTTP, as of the management API. */
const NOT_AMQP = /exceeds maxFrameSize/;

/** Node reports a refused `localhost` as an AggregateError without a message of its own, and OpenSSL's errors by source line. */
function why(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map((each) => messageOf(each)).join('; ');
  const { code, reason } = (error ?? {}) as { readonly code?: string; readonly reason?: string };
  if (code?.startsWith('ERR_SSL_') && reason !== undefined) return `no TLS connection: ${reason} (${code})`;
  const message = messageOf(error);
  return NOT_AMQP.test(message)
    ? `what answers there does not speak AMQP, whose ports are usually 5672 and, with TLS, 5671: ${message}`
    : message;
}

/** What will not get better by trying again. */
function refused(error: unknown, url: string, files: TlsFiles): OrderlaneError | undefined {
  if (error instanceof OrderlaneError) return error;
  const fault = tlsFault(error, url, files);
  if (fault !== undefined) return fault;
  const message = messageOf(error);
  const who = redacted(url);
  if (/ACCESS.REFUSED|\b403\b/.test(message)) {
    return new OrderlaneError(
      'BROKER_REFUSED',
      `the broker at ${who} refuses the user name or password, or their permissions: ${message}`,
      {
        cause: error,
      },
    );
  }
  if (/NOT.ALLOWED|\b530\b|OpenOk; got <ConnectionClose/.test(message)) {
    return new OrderlaneError(
      'BROKER_REFUSED',
      `the broker does not have the virtual host of ${who}, or does not let this user into it${
        message.startsWith('Expected ') ? '' : `: ${message}`
      }. rabbitmqctl list_vhosts and list_user_permissions USER tell`,
      {
        cause: error,
      },
    );
  }
  return undefined;
}
