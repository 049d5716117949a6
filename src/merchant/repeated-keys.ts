import { setImmediate as turn } from 'node:timers/promises';

export interface RepeatedKey {
  /** The keys that lead to it, itself last. */
  readonly path: readonly string[];
  /** Lines, from 1. */
  readonly first: number;
  readonly again: number;
}

interface Level {
  /** Absent in a list. */
  readonly keys: Map<string, number> | undefined;
  key: string | undefined;
}

/** How many keys are looked at in one turn of the event loop. */
const SLICE = 5000;
const TOKEN = /["{}[\],\n]/g;
const STRING_END = /\\.|"/gs;

/** The keys that stand twice in one object of a text that is known to be JSON. JSON.parse keeps the last without a word. */
export async function repeatedKeys(text: string): Promise<RepeatedKey[]> {
  const found: RepeatedKey[] = [];
  const levels: Level[] = [];
  let [line, left, awaitsKey] = [1, SLICE, false];
  let at = 0;
  for (;;) {
    TOKEN.lastIndex = at; // others may have used it while we waited
    const token = TOKEN.exec(text);
    if (token === null) return found;
    at = TOKEN.lastIndex;
    const level = levels.at(-1);
    switch (token[0]) {
      case '\n':
        line++;
        break;
      case '{':
        levels.push({ keys: new Map(), key: undefined });
        awaitsKey = true;
        break;
      case '[':
        levels.push({ keys: undefined, key: undefined });
        awaitsKey = false;
        break;
      case '}':
      case ']':
        levels.pop();
        awaitsKey = false;
        break;
      case ',':
        awaitsKey = level?.keys !== undefined;
        break;
      default: {
        const end = stringEnd(text, at);
        if (awaitsKey && level?.keys !== undefined) {
          const key = JSON.parse(text.slice(at - 1, end)) as string;
          const first = level.keys.get(key);
          level.key = key;
          if (first === undefined) level.keys.set(key, line);
          else found.push({ path: levels.flatMap((each) => each.key ?? []), first, again: line });
          awaitsKey = false;
          if (--left === 0) {
            left = SLICE;
            await turn();
          }
        }
        at = end;
      }
    }
  }
}

/** Where the string ends that begins before `from`. */
function stringEnd(text: string, from: number): number {
  STRING_END.lastIndex = from;
  for (let end = STRING_END.exec(text); end !== null; end = STRING_END.exec(text)) {
    if (end[0] === '"') return STRING_END.lastIndex;
  }
  return text.length;
}
