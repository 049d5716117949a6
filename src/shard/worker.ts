import { AsyncLocalStorage } from 'node:async_hooks';
import type { MessagePort } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { createThreadLogger } from '../log.ts';
import { HttpClient } from '../merchant/http-client.ts';
import { Pace } from '../pace.ts';
import { type Boot, type Booted, OUTCOME_FIELDS, type Report, type Task } from '../protocol.ts';
import { SlotTable } from '../slot-table.ts';
import type { Place } from './attempt.ts';
import { loadHandler } from './load-handler.ts';
import { Runner } from './run-handler.ts';

/**
 * A shard's thread: Piscina calls `task` with each task. The first is the boot, all others are batches. There is no default
 * export, because Piscina loads this file with `require` and Node aborts the whole process when a thread is ended just
 * while it makes such a module's `default` a CommonJS export.
 */

const BEAT_MS = 100;

let runner: Runner | undefined;
let http: HttpClient | undefined;

export function task(message: Task): Promise<Booted> | undefined {
  if (message.kind === 'boot') return boot(message);
  if (message.kind === 'allow') http?.allow(message.hosts);
  else runner?.accept(message);
  return undefined;
}

async function boot(message: Boot): Promise<Booted> {
  const { port, shard, slots } = message;
  try {
    const handler = message.handlerUrl === undefined ? undefined : await loadHandler(message.handlerUrl);
    const table = new SlotTable(slots, message.table);
    const outbox = new Outbox(port);
    const logger = createThreadLogger({
      level: message.logLevel,
      fields: message.logFields,
      bindings: { shard },
      write: (line) => outbox.log(line),
    });
    const { connectTimeoutMs, idleSockets, allowHosts, answers } = message;
    http = new HttpClient({ connectTimeoutMs, idleSockets, allowHosts, answers });
    const current = new AsyncLocalStorage<Place>();
    if (handler !== undefined) nameTheCause(table, current);
    const told = { sharedKey: false };
    runner = new Runner({
      handler,
      http,
      table,
      current,
      logger,
      told,
      report: (...outcome) => outbox.outcome(...outcome),
      wake: () => outbox.wake(),
    });
    // The watchdog reads it from the main thread: a loop that stands still does not beat.
    setInterval(() => table.beat(), BEAT_MS);
    return { ok: true, confirms: handler?.confirm !== undefined };
  } catch (error) {
    return { ok: false, error: messageOf(error) };
  }
}

const FULL = 64 * OUTCOME_FIELDS;

/** The thread's last words: whose code threw, rejected unheard, or ended it. A loop or a lack of memory leaves none. */
function nameTheCause(table: SlotTable, current: AsyncLocalStorage<Place>): void {
  const name = (): void => {
    const place = current.getStore();
    if (place !== undefined) table.running(place.slot, place.generation);
  };
  process.on('uncaughtExceptionMonitor', name);
  process.on('exit', name);
}

/** Outcomes and log lines that gather leave as one message. */
class Outbox {
  readonly #port: MessagePort;
  #outcomes: unknown[] = [];
  #log: string[] = [];
  #isAwaited = false;
  readonly #pace = new Pace(() => this.#flush());

  constructor(port: MessagePort) {
    this.#port = port;
  }

  outcome(...values: unknown[]): void {
    this.#outcomes.push(...values);
    if (this.#outcomes.length >= FULL) this.#flush();
    else this.#pace.schedule();
  }

  log(line: string): void {
    this.#log.push(line);
    this.#pace.schedule();
  }

  /** A report is to leave, be it empty. */
  wake(): void {
    this.#isAwaited = true;
    this.#pace.schedule();
  }

  #flush(): void {
    if (this.#outcomes.length === 0 && this.#log.length === 0 && !this.#isAwaited) return;
    this.#isAwaited = false;
    const report: Report = {
      ...(this.#outcomes.length === 0 ? {} : { outcomes: this.#outcomes }),
      ...(this.#log.length === 0 ? {} : { log: this.#log }),
    };
    this.#outcomes = [];
    this.#log = [];
    this.#port.postMessage(report);
  }
}
