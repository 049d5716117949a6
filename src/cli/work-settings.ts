import type { Argv } from 'yargs';
import { SETTINGS } from '../option-table.ts';
import { environmentName, type Options, readConfigFile, resolveOptions } from '../options.ts';
import { defaultText, GROUPS } from '../setting.ts';

/** Every setting of `work`, as flags of a command: of `work` itself, and of those that look at what it would run with. */
export function declareSettings(yargs: Argv): Argv {
  // Every value stays a string, and what is given twice an array: resolveOptions reads them and knows what they mean.
  yargs.parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': true, 'parse-numbers': false });
  for (const group of GROUPS) {
    for (const setting of Object.values(SETTINGS).filter((candidate) => candidate.group === group)) {
      const { name, alias, describe, type } = setting;
      const fallback = defaultText(setting);
      yargs.option(name, {
        // Not as yargs' own default: it would stand in a ragged column of its own.
        describe: fallback === undefined ? describe : `${describe} (default: ${fallback})`,
        group: `${group}:`,
        requiresArg: type !== 'boolean' && !('bare' in setting),
        ...(alias === undefined ? {} : { alias }),
      });
    }
  }
  return yargs
    .option('config', {
      describe: 'FILE: JSON object with any of these settings, such as {"queue": "orders", "timeout": "10s"}',
      group: 'Other:',
      requiresArg: true,
    })
    .group(['help', 'version'], 'Other:');
}

export const SETTINGS_EPILOGUE: string =
  'Durations need a unit: 500ms, 15s, 10m, 1h. Sizes may have one: 64KiB, 256MiB; a bare number is bytes. ' +
  'Addresses, hosts and log fields can be several: repeat the option or separate them with commas.\n\n' +
  `Each setting can also come from the environment, as ${environmentName('max-attempts')}, or from the config file, as ` +
  '"max-attempts". A flag goes before the environment, the environment before the file.';

/** What `work` would run with: a flag, else the environment, else the config file, else the default. */
export function optionsOf(flags: Readonly<Record<string, unknown>>): Options {
  const paths = [flags['config'] ?? (process.env[environmentName('config')] || undefined)].flat() as (
    | string
    | undefined
  )[];
  const path = paths.at(-1);
  return resolveOptions(flags, process.env, path === undefined ? undefined : readConfigFile(path));
}
