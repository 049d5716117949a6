/**
 * What the merchants received of one message, which is one idempotency key. A *duplicate send* is one that no scheduled
 * attempt explains, or one after the merchant had already accepted the message.
 */
export interface Receipt {
  /** The `Idempotency-Key` header. */
  readonly key: string;
  /** The merchant of the first send. */
  readonly merchant: string;
  /** Requests that were received to their last byte. */
  readonly sends: number;
  /** Sends by `Orderlane-Attempt` header; those without one are under ''. */
  readonly attempts: Readonly<Record<string, number>>;
  /** Sends whose attempt number had come before. */
  readonly repeats: number;
  /** Sends whose last byte came after the message had been accepted. */
  readonly afterAccepted: number;
  /** Sends that are a repeat, or after acceptance, or both: each counted once. */
  readonly duplicates: number;
  /** Answers that were handed to the socket to their last byte, by status. A send without answer is in none. */
  readonly answers: Readonly<Record<string, number>>;
  /** How many of the answers were 2xx. */
  readonly accepted: number;
  /** When the last byte of the last send had come, in milliseconds since the epoch. */
  readonly lastSentAt: number;
  /** When the first 2xx was handed to the socket, in milliseconds since the epoch; null when none was. */
  readonly acceptedAt: number | null;
  /** Whether two sends differed in their body (by CRC-32). */
  readonly bodyChanged: boolean;
  /** Whether the key came to more than one merchant. */
  readonly merchantChanged: boolean;
}

const BODY_CHANGED = 1;
const MERCHANT_CHANGED = 2;
const FIRST_CAPACITY = 1024;
const CHUNK_CHARS = 65_536;

/**
 * One receipt a message, kept in columns: a million messages take about 200 MB, most of it keys, and cost the garbage
 * collector no objects. Grows without bound; `clear` is how a long run empties it.
 */
export class Receipts implements Iterable<Receipt> {
  /** Message number, less `#first`, by key; a Map keeps them in the order of their numbers. */
  #rows = new Map<string, number>();
  /** The number of row 0. Numbers are never used again, so an answer that outlives a `clear` meets no stranger. */
  #first = 0;
  readonly #merchantNames: string[] = [];
  readonly #merchantNumbers = new Map<string, number>();
  readonly #attemptTallies = new Tallies<string>();
  readonly #answerTallies = new Tallies<number>();

  #merchants = new Uint32Array(FIRST_CAPACITY);
  #attempts = new Uint32Array(FIRST_CAPACITY);
  #answers = new Uint32Array(FIRST_CAPACITY);
  #bodies = new Uint32Array(FIRST_CAPACITY);
  #afterAccepted = new Uint32Array(FIRST_CAPACITY);
  #duplicates = new Uint32Array(FIRST_CAPACITY);
  #lastSentAt = new Float64Array(FIRST_CAPACITY);
  #acceptedAt = new Float64Array(FIRST_CAPACITY);
  #flags = new Uint32Array(FIRST_CAPACITY);

  #accepted = 0;
  #duplicateSends = 0;
  #bodyChanged = 0;

  /** Messages with at least one send. */
  get size(): number {
    return this.#rows.size;
  }

  /** Messages with at least one 2xx answer. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Duplicate sends of all messages. */
  get duplicates(): number {
    return this.#duplicateSends;
  }

  /** Messages whose body differed between sends. */
  get bodyChanged(): number {
    return this.#bodyChanged;
  }

  /** Notes a request that was received in full and returns the message's number, for `answered`. Times are milliseconds since the epoch. */
  sent(key: string, merchant: string, attempt: string, bodyHash: number, at: number): number {
    const merchantNumber = this.#merchantNumber(merchant);
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = this.#rows.size;
      if (row === this.#flags.length) this.#grow();
      this.#rows.set(key, row);
      this.#merchants[row] = merchantNumber;
      this.#bodies[row] = bodyHash;
    } else {
      this.#noteChanges(row, merchantNumber, bodyHash);
    }
    this.#lastSentAt[row] = at;
    const attempts = this.#attempts[row] as number;
    const afterAccepted = this.#acceptedAt[row] !== 0;
    if (afterAccepted) this.#afterAccepted[row]! += 1;
    if (afterAccepted || this.#attemptTallies.has(attempts, attempt)) {
      this.#duplicates[row]! += 1;
      this.#duplicateSends++;
    }
    this.#attempts[row] = this.#attemptTallies.add(attempts, attempt);
    return this.#first + row;
  }

  /** Notes an answer that was handed to the socket; `at` is in milliseconds since the epoch. */
  answered(message: number, status: number, at: number): void {
    const row = message - this.#first;
    if (row < 0) return; // from before a clear
    this.#answers[row] = this.#answerTallies.add(this.#answers[row] as number, status);
    if (isAccepted(status) && this.#acceptedAt[row] === 0) {
      this.#acceptedAt[row] = at;
      this.#accepted++;
    }
  }

  get(key: string): Receipt | undefined {
    const row = this.#rows.get(key);
    return row === undefined ? undefined : this.#receipt(key, row);
  }

  *[Symbol.iterator](): Generator<Receipt, void, undefined> {
    for (const [key, row] of this.#rows) yield this.#receipt(key, row);
  }

  /**
   * The receipts as NDJSON, many lines a chunk. Taken one chunk at a time while requests go on: messages that are new by
   * then come too, and a `clear` ends it.
   */
  *chunks(): Generator<string, void, undefined> {
    const rows = this.#rows;
    let chunk = '';
    for (const [key, row] of rows) {
      chunk += `${JSON.stringify(this.#receipt(key, row))}\n`;
      if (chunk.length < CHUNK_CHARS) continue;
      yield chunk;
      if (rows !== this.#rows) return;
      chunk = '';
    }
    if (chunk !== '') yield chunk;
  }

  clear(): void {
    this.#first += this.#rows.size;
    this.#rows = new Map();
    for (const column of [this.#attempts, this.#answers, this.#afterAccepted, this.#duplicates, this.#flags])
      column.fill(0);
    this.#acceptedAt.fill(0);
    this.#accepted = 0;
    this.#duplicateSends = 0;
    this.#bodyChanged = 0;
  }

  #receipt(key: string, row: number): Receipt {
    const attempts = this.#attemptTallies.counts(this.#attempts[row] as number);
    const answers = this.#answerTallies.counts(this.#answers[row] as number);
    const flags = this.#flags[row] as number;
    const sends = sum(attempts.values());
    const acceptedAt = this.#acceptedAt[row] as number;
    return {
      key,
      merchant: this.#merchantNames[this.#merchants[row] as number] as string,
      sends,
      attempts: Object.fromEntries(attempts),
      repeats: sends - attempts.size,
      afterAccepted: this.#afterAccepted[row] as number,
      duplicates: this.#duplicates[row] as number,
      answers: Object.fromEntries(answers),
      accepted: sum([...answers].map(([status, count]) => (isAccepted(status) ? count : 0))),
      lastSentAt: this.#lastSentAt[row] as number,
      acceptedAt: acceptedAt === 0 ? null : acceptedAt,
      bodyChanged: (flags & BODY_CHANGED) !== 0,
      merchantChanged: (flags & MERCHANT_CHANGED) !== 0,
    };
  }

  #noteChanges(row: number, merchantNumber: number, bodyHash: number): void {
    if (this.#merchants[row] !== merchantNumber) this.#flags[row]! |= MERCHANT_CHANGED;
    if (this.#bodies[row] === bodyHash || (this.#flags[row]! & BODY_CHANGED) !== 0) return;
    this.#flags[row]! |= BODY_CHANGED;
    this.#bodyChanged++;
  }

  #merchantNumber(name: string): number {
    let number = this.#merchantNumbers.get(name);
    if (number === undefined) {
      number = this.#merchantNames.push(name) - 1;
      this.#merchantNumbers.set(name, number);
    }
    return number;
  }

  #grow(): void {
    this.#merchants = doubled(this.#merchants);
    this.#attempts = doubled(this.#attempts);
    this.#answers = doubled(this.#answers);
    this.#bodies = doubled(this.#bodies);
    this.#afterAccepted = doubled(this.#afterAccepted);
    this.#duplicates = doubled(this.#duplicates);
    this.#flags = doubled(this.#flags);
    const acceptedAt = new Float64Array(this.#acceptedAt.length * 2);
    acceptedAt.set(this.#acceptedAt);
    const lastSentAt = new Float64Array(acceptedAt.length);
    lastSentAt.set(this.#lastSentAt);
    this.#lastSentAt = lastSentAt;
    this.#acceptedAt = acceptedAt;
  }
}

/** Whether a status says that the merchant has the order. */
export function isAccepted(status: number): boolean {
  return status >= 200 && status < 300;
}

/**
 * Counts of values, shared: messages that saw the same values the same number of times share one tally, so that a
 * message's counts are one number. Tally 0 is empty; tallies only ever grow by one value.
 */
class Tallies<Value> {
  readonly #tallies: { readonly counts: ReadonlyMap<Value, number>; readonly next: Map<Value, number> }[] = [
    { counts: new Map(), next: new Map() },
  ];

  has(tally: number, value: Value): boolean {
    return this.counts(tally).has(value);
  }

  /** The tally that is this one and `value` once more. */
  add(tally: number, value: Value): number {
    const { counts, next } = this.#tallies[tally]!;
    let following = next.get(value);
    if (following === undefined) {
      const more = new Map(counts).set(value, (counts.get(value) ?? 0) + 1);
      following = this.#tallies.push({ counts: more, next: new Map() }) - 1;
      next.set(value, following);
    }
    return following;
  }

  counts(tally: number): ReadonlyMap<Value, number> {
    return this.#tallies[tally]!.counts;
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

function doubled(column: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(column.length * 2);
  longer.set(column);
  return longer;
}
