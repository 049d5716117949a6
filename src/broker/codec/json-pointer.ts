/** A JSON pointer (RFC 6901), compiled once to its steps. */
export type Pointer = readonly string[];

export function parsePointer(text: string): Pointer {
  return text
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

const INDEX = /^(?:0|[1-9]\d*)$/;

/** What the pointer names, own properties only: a body may be called anything, `__proto__` included. */
export function at(value: unknown, pointer: Pointer): unknown {
  let here = value;
  for (const step of pointer) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, step)) return undefined;
    if (Array.isArray(here) && !INDEX.test(step)) return undefined;
    here = (here as Record<string, unknown>)[step];
  }
  return here;
}
