import { brief } from './outcome.ts';

export const REDACTED = '[redacted]';
const NOT_JSON = ' is not valid JSON';
/** Of a text no more is looked at or shown, in characters. */
const MAX_TEXT = 8_000;

/** Takes out of a text what others put into messages: credentials and queries of URLs, and what JSON.parse quotes of its input. */
export function redact(text: string): string {
  let cut = brief(text, MAX_TEXT);
  const quoted = cut.indexOf('"');
  const told = cut.lastIndexOf(NOT_JSON);
  if (quoted !== -1 && quoted < told) cut = `${cut.slice(0, quoted)}${REDACTED}${cut.slice(told)}`;
  return cut
    .replace(/(\w:\/\/)[^\s/'"]*@/g, `$1${REDACTED}@`)
    .replace(/(\w:\/\/[^\s?'"]*)\?[^\s'"]*/g, `$1?${REDACTED}`);
}
