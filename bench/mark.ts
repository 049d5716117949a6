/** Counts orders in a process that is measured, and says when the first came and when the last was done. */
export class Marker {
  readonly #orders: number;
  #begun = 0;
  #done = 0;

  constructor(orders: number) {
    this.#orders = orders;
  }

  began(): void {
    if (this.#begun++ === 0) say('first');
  }

  ended(): void {
    if (++this.#done === this.#orders) say('last');
  }
}

function say(at: string): void {
  process.stdout.write(`${JSON.stringify({ at, ms: Number(process.hrtime.bigint()) / 1e6 })}\n`);
}
