/** Counts orders in a process that is measured, and says when the first after the warm-up came and when the last was done. */
export class Marker {
  readonly #warmup: number;
  readonly #all: number;
  #begun = 0;
  #done = 0;

  constructor({ warmup, orders }: { readonly warmup: number; readonly orders: number }) {
    this.#warmup = warmup;
    this.#all = warmup + orders;
  }

  began(): void {
    if (this.#begun++ === this.#warmup) say('first');
  }

  ended(): void {
    if (++this.#done === this.#all) say('last');
  }
}

function say(at: string): void {
  process.stdout.write(`${JSON.stringify({ at, ms: Number(process.hrtime.bigint()) / 1e6 })}\n`);
}
