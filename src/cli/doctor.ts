import type { Argv, CommandModule } from 'yargs';
import { misspelledVariables } from '../options.ts';
import { lookAtBroker } from './doctor/broker-look.ts';
import { backlogCheck, budgetCheck, deadLettersCheck } from './doctor/load-checks.ts';
import { lookAtFiles } from './doctor/look.ts';
import { thisMachine } from './doctor/machine.ts';
import { coresCheck, memoryCheck, openFilesCheck } from './doctor/machine-checks.ts';
import { longestTimeoutMs } from './doctor/merchant-checks.ts';
import { nameChecks, placesOf, resolveAll } from './doctor/name-checks.ts';
import { Telling } from './doctor/telling.ts';
import { EXIT } from './exit-codes.ts';
import { declareSettings, optionsOf, SETTINGS_EPILOGUE } from './work-settings.ts';

export const command: CommandModule = {
  command: 'doctor',
  describe: 'Check broker, merchants, handler and machine against the settings of work',
  builder: declareFlags,
  handler: doctor,
};

function declareFlags(yargs: Argv): Argv {
  yargs.usage(
    'Usage: $0 doctor (--merchants FILE | --url URL | --handler FILE) [options]\n\n' +
      'Checks, where work is to run and with its settings, all that it needs: broker, queues, permissions, policies, merchants, ' +
      'handler, names, open files, memory, processors. Makes nothing and sends nothing. Exits with 0 when nothing failed, with 1 when ' +
      'something did.',
  );
  return declareSettings(yargs)
    .option('json', { type: 'boolean', default: false, describe: 'Print the findings as JSON', group: 'Check:' })
    .example('$0 doctor --config orderlane.json', '')
    .example('$0 doctor --merchants merchants.json --management-url http://localhost:15672', '')
    .epilogue(`${SETTINGS_EPILOGUE}\n`);
}

async function doctor(flags: Readonly<Record<string, unknown>>): Promise<void> {
  const options = optionsOf(flags);
  const telling = new Telling(flags['json'] === true);
  const { tell } = telling;
  const machine = thisMachine();
  const hints = misspelledVariables(process.env);
  const broker = await lookAtBroker(options, tell);
  const directory = await lookAtFiles(
    options,
    { hints, withoutSecrets: false, isKubernetes: machine.isKubernetes },
    tell,
  );
  if (directory !== undefined) {
    const { sample, total, varies } = await placesOf(directory, options.url);
    tell(nameChecks(await resolveAll(sample), total, varies, directory.allowHosts));
  }
  tell(openFilesCheck(options, machine));
  tell(memoryCheck(options, machine));
  tell(coresCheck(options, machine));
  const longestMs = directory === undefined ? options.timeoutMs : longestTimeoutMs(directory, options.timeoutMs);
  if (broker !== undefined) {
    tell(backlogCheck(broker.survey, options, machine.cores));
    tell(deadLettersCheck(broker.survey));
  }
  tell(budgetCheck(options, longestMs, broker?.load, options.managementUrl !== undefined));
  process.exitCode = telling.end() ? EXIT.clean.code : EXIT.fatal.code;
}
