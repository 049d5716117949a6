import type { Argv } from 'yargs';
import { SETTINGS } from '../option-table.ts';
import { environmentName, type Options, resolveOptions } from '../options.ts';
import { defaultText } from '../setting.ts';

type Flags = Readonly<Record<string, unknown>>;

/** Settings of `work` that another command has too, and what it says of them where that differs. */
export type Shared = { readonly [Key in keyof Options]?: string | undefined };

export function declareShared(yargs: Argv, shared: Shared, groupOf: (key: keyof Options) => string): void {
  for (const key of Object.keys(shared) as (keyof Options)[]) {
    const setting = SETTINGS[key];
    const describe = shared[key] ?? setting.describe;
    const fallback = defaultText(setting);
    yargs.option(setting.name, {
      describe: fallback === undefined ? describe : `${describe} (default: ${fallback})`,
      group: `${groupOf(key)}:`,
      requiresArg: true,
      ...(setting.alias === undefined ? {} : { alias: setting.alias }),
    });
  }
}

/** Reads them as `work` does: flag, environment, default. */
export function readSettings<Key extends keyof Options>(flags: Flags, keys: readonly Key[]): Pick<Options, Key> {
  const names = keys.map((key) => SETTINGS[key].name);
  const only = (from: Flags, named: (name: string) => string): Record<string, unknown> =>
    Object.fromEntries(names.map((name) => [named(name), from[named(name)]]));
  // `work` insists on knowing where orders go, which is nothing to others.
  const given = { ...only(flags, (name) => name), url: 'https://nowhere.example/{merchantId}' };
  return resolveOptions(given, only(process.env, environmentName) as NodeJS.ProcessEnv);
}
