import type { Argv, CommandModule } from 'yargs';
import { OrderlaneError } from '../errors.ts';
import { misspelledVariables, type Options } from '../options.ts';
import { fail } from './doctor/finding.ts';
import { lookAtFiles } from './doctor/look.ts';
import { Telling } from './doctor/telling.ts';
import { EXIT } from './exit-codes.ts';
import { declareSettings, optionsOf, SETTINGS_EPILOGUE } from './work-settings.ts';

export const command: CommandModule = {
  command: 'lint',
  describe: 'Check settings, merchant directory and handler without a broker, as in CI',
  builder: declareFlags,
  handler: lint,
};

function declareFlags(yargs: Argv): Argv {
  yargs.usage(
    'Usage: $0 lint [options]\n\n' +
      'Checks what work would run with, without a broker and without sending anything: settings, merchant directory, secrets, ' +
      'handler. It takes the settings of work. Exits with 0 when nothing failed, with 1 when something did.',
  );
  return declareSettings(yargs)
    .option('without-secrets', {
      type: 'boolean',
      default: false,
      describe: 'Do not look for tokens and passwords, where they are not at hand',
      group: 'Check:',
    })
    .option('json', { type: 'boolean', default: false, describe: 'Print the findings as JSON', group: 'Check:' })
    .example('$0 lint --config orderlane.json --without-secrets', 'in the CI of your repository')
    .epilogue(`${SETTINGS_EPILOGUE}\n`);
}

async function lint(flags: Readonly<Record<string, unknown>>): Promise<void> {
  const telling = new Telling(flags['json'] === true);
  let options: Options | undefined;
  try {
    options = optionsOf(flags);
  } catch (error) {
    // Here a bad value is what was looked for.
    if (!(error instanceof OrderlaneError)) throw error;
    telling.tell(fail('settings', error.message, 'correct it; orderlane work --help has every setting'));
  }
  if (options !== undefined) {
    const hints = misspelledVariables(process.env);
    const withoutSecrets = flags['without-secrets'] === true;
    await lookAtFiles(options, { hints, withoutSecrets, isKubernetes: false }, telling.tell);
  }
  process.exitCode = telling.end() ? EXIT.clean.code : EXIT.fatal.code;
}
