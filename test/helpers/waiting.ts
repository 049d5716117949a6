/** How long a test waits for something that must come, in milliseconds: only a failing test ever waits that long. */
const PATIENCE_MS = 60_000;

interface Waiter {
  readonly ask: () => boolean;
  readonly end: (error?: Error) => void;
}

/** Conditions that are asked again whenever somebody says that something has changed; nothing is polled. */
export class Waiting {
  readonly #waiters = new Set<Waiter>();
  /** Said when something is waited for in vain. */
  readonly #context: () => string;
  #over: Error | undefined;

  constructor(context: () => string = () => '') {
    this.#context = context;
  }

  changed(): void {
    for (const waiter of this.#waiters) if (waiter.ask()) waiter.end();
  }

  /** Nothing will change any more: whoever still waits, waits in vain. */
  over(why: string): void {
    this.changed();
    this.#over = new Error(why);
    for (const waiter of this.#waiters) waiter.end(this.#over);
  }

  /** Resolves with what `ask` finds, as soon as that is neither undefined nor false. */
  until<T>(what: string, ask: () => T | undefined | false): Promise<T> {
    return new Promise((resolve, reject) => {
      let found: T | undefined | false;
      const fail = (why: string): void => reject(new Error(`waited for ${what} in vain: ${why}\n${this.#context()}`));
      const waiter: Waiter = {
        ask: () => {
          found = ask();
          return found !== undefined && found !== false;
        },
        end: (error) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          if (error === undefined) resolve(found as T);
          else fail(error.message);
        },
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        fail(`${PATIENCE_MS / 1000} s are over`);
      }, PATIENCE_MS);
      this.#waiters.add(waiter);
      if (waiter.ask()) waiter.end();
      else if (this.#over !== undefined) waiter.end(this.#over);
    });
  }
}
