import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { addAbortSignal, type Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import { HEADER } from '../broker/codec/headers.ts';
import { systemClock } from '../clock.ts';
import { messageOf, OrderlaneError } from '../errors.ts';
import { generateOrder, merchantName } from '../sim/orders.ts';
import { type Publication, Publisher, Schedule } from '../sim/publisher.ts';
import { seeded, zipf } from '../sim/random.ts';
import { EXIT } from './exit-codes.ts';
import { readOrders } from './order-lines.ts';
import { declareFlags, type Plan, readPlan, readShared } from './publish-flags.ts';
import { publishLink } from './publish-link.ts';

export const command: CommandModule = {
  command: 'publish',
  describe: 'Put orders on the queue, from a file, standard input or a generator',
  builder: declareFlags,
  handler: publish,
};

const PROGRESS_MS = 250;
/** How long the broker may answer for nothing at the end, and after a signal. */
const CONFIRM_WAIT_MS = 30_000;
const INTERRUPTED_WAIT_MS = 3_000;

/** Waits for room and for the next message's time, and gives that time; undefined once nothing more is to be published. */
type Due = () => Promise<number | undefined>;

async function publish(flags: Readonly<Record<string, unknown>>): Promise<void> {
  const plan = readPlan(flags);
  const options = readShared(flags);
  const input = plan.generate === undefined ? await openOrders(plan.file) : undefined;
  const journal = plan.journal === undefined ? undefined : await Journal.open(plan.journal);
  const publisher = new Publisher(options.queue, (publication) => journal?.write(publication, systemClock.wall()));
  journal?.onError((error) => publisher.fail(error));
  const stopped = firstSignal();
  stopped.addEventListener('abort', () => publisher.close());
  const link = publishLink(options, publisher, say);
  const starting = link.start(options.connectWaitMs);
  starting.catch(() => undefined); // after a signal nobody waits for it
  await Promise.race([starting, once(stopped, 'abort')]);

  const begun = performance.now();
  const stopProgress = showProgress(publisher, plan.generate);
  const due = dueAt(new Schedule(plan.rate, seeded(plan.seed + 2 ** 32)), publisher, journal, stopped);
  let failure: unknown;
  try {
    const orders =
      input === undefined ? generated(plan, due) : read(addAbortSignal(stopped, input), plan.file, options, due);
    for await (const order of orders) publisher.publish(order);
  } catch (error) {
    if (!stopped.aborted) failure = error;
  }
  try {
    await publisher.settled(stopped.aborted ? INTERRUPTED_WAIT_MS : CONFIRM_WAIT_MS);
  } catch (error) {
    failure ??= error;
  }
  const seconds = (performance.now() - begun) / 1000;
  stopProgress();
  await link.stop();
  await journal?.close(publisher.unconfirmed);
  report(publisher, options.queue, seconds, stopped.aborted, plan.json);
  if (failure !== undefined) throw failure;
  if (publisher.confirmed < publisher.published) process.exitCode = EXIT.fatal.code;
}

function dueAt(schedule: Schedule, publisher: Publisher, journal: Journal | undefined, stopped: AbortSignal): Due {
  return async () => {
    if (journal?.isFull) await journal.drained(stopped);
    if (publisher.isFull && !(await publisher.ready())) return undefined;
    const at = schedule.next();
    const leftMs = schedule.leftMs(at);
    if (leftMs > 0) await sleep(leftMs, undefined, { signal: stopped }).catch(() => undefined);
    return stopped.aborted ? undefined : at;
  };
}

async function* generated(plan: Plan, due: Due): AsyncGenerator<Publication> {
  const random = seeded(plan.seed);
  const rank = zipf(plan.merchants, plan.zipf);
  const run = plan.ids ?? randomBytes(5).toString('hex'); // the same seed twice is still other messages
  for (let n = 1; n <= (plan.generate ?? 0); n++) {
    const intendedAt = await due();
    if (intendedAt === undefined) return;
    const orderId = `ord-${run}-${n}`;
    const merchantId = merchantName(rank(random));
    const body = JSON.stringify(generateOrder(random, { id: orderId, merchantId, placedAt: intendedAt }));
    yield publication({ messageId: `msg-${run}-${n}`, orderId, merchantId, body: Buffer.from(body) }, intendedAt);
  }
}

async function* read(
  input: Readable,
  file: string,
  keys: { readonly merchantKey: string; readonly orderIdKey: string },
  due: Due,
): AsyncGenerator<Publication> {
  for await (const line of readOrders(input, { name: nameOf(file), ...keys })) {
    const intendedAt = await due();
    if (intendedAt === undefined) return;
    yield publication(line, intendedAt);
  }
}

function publication(
  order: Pick<Publication, 'messageId' | 'orderId' | 'merchantId' | 'body'>,
  intendedAt: number,
): Publication {
  const { messageId, orderId, merchantId, body } = order;
  const headers = {
    [HEADER.merchantId]: merchantId,
    [HEADER.orderId]: orderId,
    [HEADER.publishedAt]: intendedAt,
  };
  return { messageId, orderId, merchantId, intendedAt, headers, body };
}

async function openOrders(file: string): Promise<Readable> {
  if (file === '-') {
    if (process.stdin.isTTY) say('reads orders from the terminal, one a line, as JSON; Ctrl-D ends');
    return process.stdin;
  }
  try {
    return (await open(file)).createReadStream();
  } catch (error) {
    throw new OrderlaneError('USAGE', `--file ${file}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}

/** What the broker confirmed, and when: the publisher's side of a check for losses. */
class Journal {
  readonly #path: string;
  readonly #stream: WriteStream;

  private constructor(path: string, stream: WriteStream) {
    this.#path = path;
    this.#stream = stream;
  }

  static async open(path: string): Promise<Journal> {
    const stream = createWriteStream(path);
    try {
      await once(stream, 'open');
    } catch (error) {
      throw new OrderlaneError('USAGE', `--journal ${path}: cannot be written: ${messageOf(error)}`, { cause: error });
    }
    return new Journal(path, stream);
  }

  onError(listener: (error: OrderlaneError) => void): void {
    this.#stream.on('error', (error) =>
      listener(new OrderlaneError('FATAL', `--journal ${this.#path}: ${messageOf(error)}`, { cause: error })),
    );
  }

  get isFull(): boolean {
    return this.#stream.writableNeedDrain;
  }

  async drained(signal: AbortSignal): Promise<void> {
    await once(this.#stream, 'drain', { signal }).catch(() => undefined); // an error is told to the listener
  }

  write({ messageId, orderId, merchantId, intendedAt }: Publication, confirmedAt: number | null): void {
    const entry = { key: messageId, order: orderId, merchant: merchantId, intendedAt, confirmedAt };
    this.#stream.write(`${JSON.stringify(entry)}\n`);
  }

  /** Ends it with what has no confirm, `confirmedAt` null: the queue has it or not. */
  async close(unconfirmed: Iterable<Publication>): Promise<void> {
    for (const publication of unconfirmed) this.write(publication, null);
    if (!this.#stream.destroyed) await new Promise<void>((resolve) => this.#stream.end(resolve));
  }
}

/** Aborted by the first SIGTERM or SIGINT; a second one ends the process as it would any other. */
function firstSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGTERM', () => controller.abort());
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}

/** Keeps one line of the terminal up to date; returns what ends it. */
function showProgress(publisher: Publisher, total: number | undefined): () => void {
  if (!process.stderr.isTTY) return () => undefined;
  let before = publisher.confirmed;
  const timer = setInterval(() => {
    const rate = ((publisher.confirmed - before) * 1000) / PROGRESS_MS;
    before = publisher.confirmed;
    const sent = `${count(publisher.published)}${total === undefined ? '' : ` of ${count(total)}`} sent`;
    const line = `${sent}  ${count(publisher.confirmed)} confirmed  ${count(rate)}/s`;
    process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
  }, PROGRESS_MS);
  return () => {
    clearInterval(timer);
    process.stderr.write('\r\x1b[2K');
  };
}

function report(publisher: Publisher, queue: string, seconds: number, interrupted: boolean, json: boolean): void {
  const { published, confirmed, returned, refused, republished } = publisher;
  const unconfirmed = published - publisher.answered;
  if (json) {
    const facts = { queue, published, confirmed, returned, refused, unconfirmed, republished, interrupted };
    process.stdout.write(`${JSON.stringify({ ...facts, seconds: Math.round(seconds * 1000) / 1000 })}\n`);
    return;
  }
  const rate = seconds > 0 ? ` (${count(confirmed / seconds)}/s)` : '';
  const parts = [
    `${count(confirmed)} of ${count(published)} orders confirmed on ${queue} in ${seconds.toFixed(1)}s${rate}`,
  ];
  if (returned > 0) parts.push(`${count(returned)} came back: there is no such queue`);
  if (refused > 0) parts.push(`${count(refused)} refused by the broker`);
  if (unconfirmed > 0) parts.push(`${count(unconfirmed)} without an answer: on the queue or not`);
  if (republished > 0) parts.push(`${count(republished)} published again after a lost connection: perhaps there twice`);
  if (interrupted) parts.push('interrupted');
  process.stdout.write(`${parts.join('; ')}\n`);
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function say(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? '\r\x1b[2K' : ''}orderlane publish: ${text}\n`);
}
