/**
 * Where a text stops being JSON, in words that quote nothing of it: V8's own message may, and the text may hold customer
 * data or credentials.
 */
export function jsonProblem(error: unknown, text: string): string {
  if (text.startsWith('\uFEFF'))
    return 'not JSON: it begins with a byte order mark (BOM); save it as UTF-8 without one';
  const end =
    error instanceof Error ? /in JSON at position (\d+)(?: \(line (\d+) column (\d+)\))?$/.exec(error.message) : null;
  if (end === null || Number(end[1]) > text.length) return 'not JSON';
  return end[2] === undefined ? `not JSON (at character ${end[1]})` : `not JSON (at line ${end[2]}, column ${end[3]})`;
}
