import { HEADER } from '../../../src/broker/codec/headers.ts';
import { check, type Verdict } from '../../../src/sim/checker.ts';
import { AMBIGUOUS, type Broker, type Copy, DEAD, QUEUE } from './broker.ts';
import { stage } from './stage.ts';
import type { Actor } from './virtual-time.ts';

/** A published message, and all that the outside saw of it. */
export interface Message {
  readonly number: number;
  readonly identity: string;
  readonly orderId: string;
  readonly merchantId: string;
  readonly body: Buffer;
  readonly publishedAt: number;
  readonly deadline: number;
  /** By hop: the attempts that stored copies were for; more than one when processes did not know of each other. */
  readonly copies: Map<number, Set<number>>;
  /** The same of those on the ladder. */
  readonly climbed: Map<number, Set<number>>;
  /** Outcome events that the broker has. */
  readonly events: { readonly hop: number; readonly end: string }[];
  /** Under which idempotency key it was first sent. */
  key: string | undefined;
  sends: number;
  /** Retries that were stored. */
  retries: number;
  /** The same copy stored once more, because its confirm was lost. */
  twins: number;
  /** Copies that were in a process's hands when it ended, counted at each end. */
  orphaned: number;
  /** When the merchant first said that it has it, or null. */
  acceptedAt: number | null;
  /** Answers of that kind that nobody heard. */
  unheard: number;
  bodyChanged: boolean;
  merchantChanged: boolean;
}

/** What one process did. */
interface Life {
  /** Sends by message and attempt. */
  readonly sends: Map<string, number>;
  /** Messages of which something may be at their merchants, this process's doing or an earlier one's. */
  readonly maybe: Set<number>;
}

interface Announcement {
  readonly id: string;
  readonly data: {
    readonly identity: string;
    readonly merchant: string;
    readonly outcome: string;
    readonly end: string;
    readonly deadLetterReason?: string;
    readonly attempt: number;
    readonly hop: number;
  };
}

/** How long an order that was handed to its thread may take to leave: the thread may stand still, and connecting takes time. */
const HANDED_MS = 8_000;
/** How much later than allowed a frozen deadline may let a send begin: headers are whole milliseconds. */
const ROUNDING_MS = 2;

/**
 * What a simulated run looks like from outside, and the rules that it must keep, each judged as soon as it can be. What is
 * judged at the end is left to the checker that real runs are judged by.
 */
export class History {
  readonly messages: Message[] = [];
  /** The first rule that was broken. */
  finding: string | undefined;
  readonly #lives = new Map<Actor, Life>();
  readonly #owners = new Map<string, number>();
  readonly #byIdentity = new Map<string, Message>();
  readonly #idOf = new Map<string, string>();
  readonly #whatOf = new Map<string, string>();
  sends = 0;

  found(what: string): void {
    if (this.finding !== undefined) return;
    this.finding = what;
    stage().tell?.(`FOUND ${what}`);
  }

  published(message: Message): void {
    this.messages[message.number] = message;
    this.#byIdentity.set(message.identity, message);
  }

  /** A queue has a copy. */
  stored(copy: Copy, queue: string): void {
    const message = this.messages[copy.message] as Message;
    const { copies } = message;
    stage().tell?.(`broker     stored ${nameOf(copy)} in ${queue}`);
    if (!message.body.equals(copy.content))
      this.found(`the body of ${nameOf(copy)} was changed on its way to ${queue}`);
    const attempts = copies.get(copy.hop) ?? new Set();
    if (attempts.size > 0) message.twins++;
    const earlier = Math.min(...(copies.get(copy.hop - 1) ?? [1]));
    if (queue !== QUEUE && queue !== DEAD && queue !== AMBIGUOUS) {
      if (copy.attempt > earlier) message.retries++;
      message.climbed.set(copy.hop, (message.climbed.get(copy.hop) ?? new Set()).add(copy.attempt));
    }
    copies.set(copy.hop, attempts.add(copy.attempt));
  }

  received(copy: Copy, process: Actor): void {
    stage().tell?.(`${process.name} <- ${nameOf(copy)}${copy.deliveries > 1 ? ', redelivered' : ''}`);
  }

  /** An ack is written: whatever it ends must be durable somewhere else. */
  acknowledged(copy: Copy): void {
    stage().tell?.(`${stage().time.actor.name} acks ${nameOf(copy)}`);
    const message = this.messages[copy.message] as Message;
    if (message.acceptedAt === null && !message.copies.has(copy.hop + 1))
      this.found(`${nameOf(copy)} was acknowledged, but no merchant has it and no queue has its next copy`);
    this.#judgeTold(message, copy);
  }

  /** The broker has an event: what it tells must have happened, and have no other ID. */
  announced(text: string, key: string, broker: Broker): void {
    const { id, data } = JSON.parse(text) as Announcement;
    const { hop, attempt, outcome, end, deadLetterReason, merchant } = data;
    stage().tell?.(`broker     has the event ${end} of ${data.identity} (hop ${hop}, attempt ${attempt})`);
    if (stage().process.outcomes === 'off') this.found('an event, and nobody has asked for any');
    if (key !== (merchant === '' ? outcome : `${outcome}.${merchant}`)) this.found(`an event with the key '${key}'`);
    const message = this.#byIdentity.get(data.identity);
    if (message === undefined) {
      this.found(`an event of '${data.identity}', which is no message`);
      return;
    }
    const what = `${end} (${outcome}, ${deadLetterReason ?? '-'}) of #${message.number}, attempt ${attempt}`;
    const [idBefore, whatBefore] = [this.#idOf.get(what) ?? id, this.#whatOf.get(id) ?? what];
    if (idBefore !== id) this.found(`the events ${idBefore} and ${id} both tell: ${what}`);
    if (whatBefore !== what) this.found(`the event ${id} tells '${whatBefore}' and '${what}'`);
    this.#idOf.set(what, id);
    this.#whatOf.set(id, what);
    message.events.push({ hop, end });
    const inQueue = (copies: readonly Copy[]): boolean =>
      copies.some((copy) => copy.message === message.number && copy.hop === hop + 1);
    const isTrue =
      (end === 'delivered' && message.acceptedAt !== null) ||
      (end === 'dead-lettered' && inQueue(broker.dead)) ||
      (end === 'parked' && inQueue(broker.ambiguous)) ||
      (end === 'retried' && message.copies.has(hop + 1));
    if (!isTrue) this.found(`an event says that #${message.number} (hop ${hop}) is ${end}, and it is not`);
  }

  /** How many different things were told. */
  get told(): number {
    return this.#idOf.size;
  }

  /** A request has left for the merchant. */
  sent(number: number, merchantId: string, key: string, attempt: number, body: string, process: Actor): void {
    const message = this.messages[number] as Message;
    const now = stage().time.now();
    this.sends++;
    message.sends++;
    if (merchantId !== message.merchantId) message.merchantChanged = true;
    if (body !== message.body.toString('utf8')) message.bodyChanged = true;
    message.key ??= key;
    if (message.key !== key) this.found(`#${number} was sent as '${message.key}' and as '${key}'`);
    const owner = this.#owners.get(key);
    if (owner === undefined) this.#owners.set(key, number);
    else if (owner !== number) this.found(`#${owner} and #${number} were sent with the same key '${key}'`);
    // Each copy says it anew, in whole milliseconds.
    if (now > message.deadline + ROUNDING_MS + message.copies.size) {
      this.found(`#${number} was sent ${Math.round(now - message.deadline)} ms after its deadline`);
    }
    this.#judgeRepeat(message, attempt, this.#life(process));
  }

  /** The process has learnt that the merchant did not take it. */
  refused(number: number, process: Actor): void {
    this.#life(process).maybe.delete(number);
  }

  /** The merchant has said that it has it; `unheard` of these answers are on their way, or less when one arrives. */
  accepted(number: number, unheard: number): void {
    const message = this.messages[number] as Message;
    message.acceptedAt ??= stage().time.now();
    message.unheard += unheard;
  }

  /** A process is over: what it had in hand may be sent once more by the next. */
  ended(broker: Broker): void {
    const orphan = ({ message }: Copy): void => {
      (this.messages[message] as Message).orphaned++;
    };
    for (const session of broker.sessions) for (const { copy } of session.unacked.values()) orphan(copy);
    for (const copy of broker.ready) if (copy.deliveries > 0) orphan(copy);
  }

  /** Everything is over: every order has ended, once but for what the faults explain. */
  judge(broker: Broker): Verdict {
    const verdict = check({
      published: this.messages.map(({ number, orderId, merchantId, publishedAt }) => ({
        key: String(number),
        order: orderId,
        merchant: merchantId,
        intendedAt: publishedAt,
        confirmedAt: publishedAt,
      })),
      receipts: this.messages
        .filter(({ sends, acceptedAt }) => sends > 0 || acceptedAt !== null)
        .map((message) => ({
          key: String(message.number),
          merchant: message.merchantId,
          acceptedAt: message.acceptedAt,
          duplicates: Math.max(0, message.sends - 1 - message.retries),
          bodyChanged: message.bodyChanged,
          merchantChanged: message.merchantChanged,
        })),
      dead: broker.dead.map(({ message }) => String(message)),
      ambiguous: broker.ambiguous.map(({ message }) => String(message)),
      queued: broker.ready.map(({ message }) => String(message)),
    });
    const { poison, deaths } = stage();
    for (const { message, properties } of broker.dead) {
      const reason = properties.headers[HEADER.reason];
      if (poison !== undefined && message !== poison && reason === 'process-crash')
        this.found(`#${message} was dead-lettered as process-crash, and processes died of #${poison}`);
      // Its merchant may have refused every attempt before it could do any harm.
      if (message === poison && deaths > 0 && reason !== 'process-crash' && reason !== 'malformed')
        this.found(`processes died of #${poison}, and it was dead-lettered as ${String(reason)}`);
    }
    if (verdict.lost > 0) this.found(`lost: #${verdict.lostKeys.join(', #')}`);
    if (verdict.stillQueued > 0) this.found(`${verdict.stillQueued} orders are still queued`);
    if (verdict.bodyChanged > 0) this.found(`${verdict.bodyChanged} bodies were changed`);
    if (verdict.misdirected > 0) this.found(`${verdict.misdirected} orders went to a merchant that was not theirs`);
    for (const { number, events } of this.messages) {
      const isTold = events.some(({ end }) => end !== 'retried');
      if (isTold !== (stage().process.outcomes !== 'off'))
        this.found(`#${number} has ended, and its end is ${isTold ? '' : 'not '}told`);
    }
    if (verdict.unknown > 0) this.found(`sends with keys that nobody published: ${verdict.unknownKeys.join(', ')}`);
    for (const key of verdict.doubledKeys) this.#judgeEnds(this.messages[Number(key)] as Message, broker);
    for (const { number, sends, retries, twins, orphaned } of this.messages) {
      const bound = 1 + retries + twins + orphaned;
      if (sends > bound) this.found(`#${number} was sent ${sends} times, and ${bound} can be explained`);
    }
    return verdict;
  }

  /** What is acknowledged is told: its end, or with `all` that another attempt follows. */
  #judgeTold({ events, copies, climbed }: Message, copy: Copy): void {
    const { outcomes } = stage().process;
    if (outcomes === 'off' || events.some(({ hop }) => hop === copy.hop)) return;
    // Nothing is told of a deferral, and of a retry when only ends are wanted.
    const next = [...(climbed.get(copy.hop + 1) ?? [])];
    // Copies of one hop that were for different attempts, by processes that did not know of each other, are one to the next.
    const goesOn = next.some((attempt) => outcomes === 'final' || copies.get(copy.hop)?.has(attempt));
    if (!goesOn) this.found(`${nameOf(copy)} was acknowledged, and no event tells of it`);
  }

  #judgeEnds(message: Message, broker: Broker): void {
    const { number, twins, orphaned, unheard, acceptedAt } = message;
    const here = ({ message: of }: Copy): boolean => of === number;
    const ends = (acceptedAt === null ? 0 : 1) + broker.dead.filter(here).length + broker.ambiguous.filter(here).length;
    const bound = 1 + twins + orphaned + unheard;
    if (ends > bound) this.found(`#${number} has ${ends} ends, and ${bound} can be explained`);
  }

  /** While a process lives, a copy is sent once; and what may be at a merchant that must not get it twice is not sent at all. */
  #judgeRepeat(message: Message, attempt: number, life: Life): void {
    const { number, copies } = message;
    const key = `${number}/${attempt}`;
    const sends = (life.sends.get(key) ?? 0) + 1;
    life.sends.set(key, sends);
    const known = [...copies.values()].filter((attempts) => attempts.has(attempt)).length;
    if (sends > known) this.found(`attempt ${attempt} of #${number} was sent ${sends} times by one process`);
    const { duplicates, keyWindowMs } = stage().merchants.entry(message.merchantId);
    // Who has died may have left two copies, which nobody can tell apart any more; one copy comes again with its flag.
    const alone = (message.orphaned === 0 && message.twins === 0) || copies.size === 1;
    const isAgain = alone && life.maybe.has(number);
    if (isAgain && duplicates !== 'idempotent')
      this.found(`#${number} was sent again to a merchant with '${duplicates}', and may be there already`);
    if (isAgain && duplicates === 'idempotent' && stage().time.now() > message.publishedAt + keyWindowMs + HANDED_MS)
      this.found(`#${number} was sent again when its merchant had forgotten its key, and may be there already`);
    life.maybe.add(number);
  }

  #life(process: Actor): Life {
    let life = this.#lives.get(process);
    if (life === undefined) {
      const earlier = [...this.#lives.values()].at(-1);
      life = { sends: new Map(), maybe: new Set(earlier?.maybe) };
      this.#lives.set(process, life);
    }
    return life;
  }
}

export function nameOf({ message, hop, attempt }: Copy): string {
  return `#${message} (hop ${hop}, attempt ${attempt})`;
}
