/**
 * Whether a text is JSON (RFC 8259), as JSON.parse decides it, without the objects that JSON.parse would make: 2.6 us for an
 * order of 2.4 KB in place of 6 and their collection, of a hundred that forwarding it takes. It runs over the text's bytes,
 * because those of a Uint8Array cost half of what charCodeAt does.
 */

/** In UTF-16 code units. Longer texts are parsed: they are few, and need no buffer for the rest of the thread's life. */
const MOST = 64 * 1024;
/** UTF-8 takes three bytes for a code unit at most. */
const bytes = new Uint8Array(3 * MOST + 1);
const encoder = new TextEncoder();

/** Stands after the text. It is allowed nowhere in JSON, so that every loop ends at it. */
const END = 0;
/** A place in the text that does not exist. */
const NOWHERE = -1;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** From an opening bracket or brace to its closing one. */
const TO_CLOSE = 2;
const LOWER_CASE = 0x20;
const LOWER_A = 0x61;
const LOWER_E = 0x65;
const LOWER_F = 0x66;
const LOWER_U = 0x75;

const encoded = (text: string): readonly number[] => [...encoder.encode(text)];
const WORDS = new Map(['true', 'false', 'null'].map((word) => [word.charCodeAt(0), encoded(word)]));
const ESCAPED = new Set(encoded('"\\/bfnrt'));

export function isJson(text: string): boolean {
  if (text.length > MOST) return parses(text);
  const { written } = encoder.encodeInto(text, bytes);
  bytes[written] = END;
  return afterDocument() === written;
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Without recursion: a text may be nested as deeply as it is long. */
function afterDocument(): number {
  /** What closes the innermost array or object that is open; END when none is. */
  let close = END;
  /** What closes those around it. */
  const closing: number[] = [];
  let at = afterSpace(0);
  for (;;) {
    const first = bytes[at] as number;
    if (first === OPEN_OBJECT || first === OPEN_ARRAY) {
      closing.push(close);
      close = first + TO_CLOSE;
      at = afterSpace(at + 1);
      if (bytes[at] !== close) {
        if (first === OPEN_OBJECT) at = afterName(at);
        if (at === NOWHERE) return NOWHERE;
        continue;
      }
    } else {
      at = first === QUOTE ? afterString(at + 1) : afterScalar(at, first);
      if (at === NOWHERE) return NOWHERE;
      at = afterSpace(at);
    }
    while (close !== END && bytes[at] === close) {
      close = closing.pop() as number;
      at = afterSpace(at + 1);
    }
    if (close === END) return at;
    if (bytes[at] !== COMMA) return NOWHERE;
    at = afterSpace(at + 1);
    if (close === CLOSE_OBJECT) at = afterName(at);
    if (at === NOWHERE) return NOWHERE;
  }
}

function afterSpace(from: number): number {
  let at = from;
  for (let byte = bytes[at]; byte === SPACE || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === TAB; ) {
    byte = bytes[++at];
  }
  return at;
}

/** A member's name and its colon. */
function afterName(from: number): number {
  if (bytes[from] !== QUOTE) return NOWHERE;
  const end = afterString(from + 1);
  if (end === NOWHERE) return NOWHERE;
  const at = afterSpace(end);
  return bytes[at] === COLON ? afterSpace(at + 1) : NOWHERE;
}

/** From behind its first quote. */
function afterString(from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at++] as number;
    if (byte === QUOTE) return at;
    if (byte < SPACE) return NOWHERE;
    if (byte !== BACKSLASH) continue;
    const escaped = bytes[at++] as number;
    if (escaped === LOWER_U) {
      for (const end = at + 4; at < end; at++) if (!isHex(bytes[at] as number)) return NOWHERE;
    } else if (!ESCAPED.has(escaped)) return NOWHERE;
  }
}

/** `true`, `false`, `null`, or a number. */
function afterScalar(from: number, first: number): number {
  if (first <= NINE) return afterNumber(from);
  const word = WORDS.get(first);
  if (word === undefined) return NOWHERE;
  for (let i = 1; i < word.length; i++) if (bytes[from + i] !== word[i]) return NOWHERE;
  return from + word.length;
}

function afterNumber(from: number): number {
  let at = bytes[from] === MINUS ? from + 1 : from;
  at = bytes[at] === ZERO ? at + 1 : afterDigits(at);
  if (at !== NOWHERE && bytes[at] === POINT) at = afterDigits(at + 1);
  if (at === NOWHERE || ((bytes[at] as number) | LOWER_CASE) !== LOWER_E) return at;
  const sign = bytes[++at];
  return afterDigits(sign === PLUS || sign === MINUS ? at + 1 : at);
}

/** One digit at least. */
function afterDigits(from: number): number {
  let at = from;
  while (isDigit(bytes[at] as number)) at++;
  return at === from ? NOWHERE : at;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= NINE;
}

function isHex(byte: number): boolean {
  const lower = byte | LOWER_CASE;
  return isDigit(byte) || (lower >= LOWER_A && lower <= LOWER_F);
}
