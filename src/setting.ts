import { formatByteSize, parseByteSize } from './byte-size.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { brief } from './outcome.ts';

/** Where a setting stands in `--help`. */
export const GROUPS = ['Broker', 'Merchants', 'Isolation', 'Attempts', 'Start and stop', 'Operation', 'Log'] as const;

interface Common {
  /** As a flag; upper-snake after ORDERLANE_ in the environment, as it is in a config file. */
  readonly name: string;
  /** One letter. */
  readonly alias?: string;
  readonly group: (typeof GROUPS)[number];
  readonly describe: string;
}

interface Range {
  readonly min: number;
  readonly max: number;
  readonly default: number;
  /** Why the range ends where it does, where that is not plain. */
  readonly because?: string;
}

interface Text {
  /** What a value must be, with an example. */
  readonly expect: string;
  /** Whether a value is that. */
  readonly accepts: (value: string) => boolean;
  /** What of a bad value may be shown; all of it if absent. */
  readonly shown?: (value: string) => string;
}

/** One setting: its name everywhere, what it may be, and what it is when nobody says. */
export type Setting = Common &
  (
    | ({ readonly type: 'integer' | 'duration' | 'bytes'; readonly defaultText?: string } & Range)
    | {
        readonly type: 'choice';
        readonly choices: readonly string[];
        readonly default: string;
        /** What the flag means without a value; absent when it needs one. */
        readonly bare?: string;
        readonly defaultText?: string;
      }
    | { readonly type: 'boolean'; readonly default: boolean }
    | ({ readonly type: 'list'; readonly default: readonly string[]; readonly separator: RegExp } & Text)
    | ({ readonly type: 'string'; readonly default?: string } & Text)
    | { readonly type: 'file' }
  );

export type Value = string | number | boolean | readonly string[];

/** A broker address without what may be secret, also when it is none. */
export function withoutPassword(address: string): string {
  return address
    .replace(/\/\/.*@|^[^/]*@/, (found) => (found.startsWith('//') ? '//***@' : '***@'))
    .replace(/([^/[:]):(?!\/\/|\d*(?:[/?]|$)).*/, '$1:***');
}

/** A written value's meaning; undefined if it has none. Its range is not looked at. */
export function parse(setting: Setting, written: unknown): Value | undefined {
  if (setting.type === 'list') {
    const parts = Array.isArray(written) ? written : [written];
    if (!parts.every((part) => typeof part === 'string')) return undefined;
    return parts.flatMap((part) => part.split(setting.separator)).map((part) => part.trim());
  }
  if (setting.type === 'boolean') {
    const text = String(written).toLowerCase();
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : undefined;
  }
  if (setting.type === 'choice' && setting.bare !== undefined && written === true) return setting.bare;
  const counted = setting.type === 'integer' || setting.type === 'bytes';
  if (counted && typeof written === 'number') return written;
  if (typeof written !== 'string') return undefined;
  const text = written.trim();
  if (setting.type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
  if (setting.type === 'duration') return parseDuration(text);
  if (setting.type === 'bytes') return parseByteSize(text);
  return text;
}

/** Whether a value has its setting's type and is in range. */
export function fits(setting: Setting, value: unknown): boolean {
  switch (setting.type) {
    case 'integer':
    case 'duration':
    case 'bytes':
      return Number.isSafeInteger(value) && (value as number) >= setting.min && (value as number) <= setting.max;
    case 'choice':
      return typeof value === 'string' && setting.choices.includes(value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'list':
      return (
        Array.isArray(value) && value.every((part) => typeof part === 'string' && part !== '' && setting.accepts(part))
      );
    case 'string':
      return typeof value === 'string' && setting.accepts(value);
    case 'file':
      return typeof value === 'string' && value !== '';
  }
}

/** Of a list that does not fit, the entry at fault. */
export function culprit(setting: Setting, value: unknown): unknown {
  if (setting.type !== 'list' || !Array.isArray(value)) return undefined;
  return value.find((part) => !fits(setting, [part]));
}

const because = (setting: Setting): string => ('because' in setting && setting.because ? ` (${setting.because})` : '');

/** What a written value must be. */
export function expected(setting: Setting): string {
  switch (setting.type) {
    case 'integer':
      return `a whole number from ${setting.min} to ${setting.max}, such as ${setting.default}${because(setting)}`;
    case 'duration':
    case 'bytes': {
      const what = setting.type === 'duration' ? 'a duration' : 'a size';
      const [least, most, example] = [setting.min, setting.max, setting.default].map((value) => format(setting, value));
      return `${what} from ${least} to ${most}, such as ${example}${because(setting)}`;
    }
    case 'choice':
      return `one of ${setting.choices.join(', ')}`;
    case 'boolean':
      return 'true or false';
    case 'file':
      return 'the name of a file';
    case 'list':
    case 'string':
      return setting.expect;
  }
}

/** What a value in code must be. */
export function expectedTyped(setting: Setting): string {
  if (setting.type === 'list') return `an array, each entry ${setting.expect}`;
  if (setting.type !== 'duration' && setting.type !== 'bytes') return expected(setting);
  const unit = setting.type === 'duration' ? 'milliseconds' : 'bytes';
  return `a whole number of ${unit} from ${setting.min} to ${setting.max}, such as ${setting.default}${because(setting)}`;
}

/** A value as one would write it. */
export function format(setting: Setting, value: Value): string {
  if (setting.type === 'duration') return formatDuration(value as number);
  if (setting.type === 'bytes') return formatByteSize(value as number);
  const text = Array.isArray(value) ? value.join(', ') : String(value);
  return 'shown' in setting && setting.shown ? setting.shown(text) : text;
}

/** What `--help` says a setting is when nobody says; undefined for none. */
export function defaultText(setting: Setting): string | undefined {
  if ('defaultText' in setting && setting.defaultText !== undefined) return setting.defaultText;
  if (!('default' in setting) || setting.default === undefined) return undefined;
  if (setting.type === 'list' && setting.default.length === 0) return 'none';
  return setting.type === 'boolean' ? undefined : format(setting, setting.default);
}

/** What came, short and without secrets. */
export function shown(came: unknown, setting?: Setting): string {
  const hide = setting !== undefined && 'shown' in setting ? setting.shown : undefined;
  const text = JSON.stringify(came, (_key, part: unknown) => (typeof part === 'string' && hide ? hide(part) : part));
  return brief(text ?? String(came), 100);
}
