import type { Directory } from '../../merchant/directory.ts';
import type { Options } from '../../options.ts';
import type { Finding } from './finding.ts';
import { handlerCheck } from './handler-check.ts';
import { confirmCheck, directoryCheck, longestTimeoutMs } from './merchant-checks.ts';
import { secretsCheck, settingsCheck, shutdownCheck, windowCheck } from './settings-checks.ts';

export type Tell = (findings: Finding | readonly Finding[]) => void;

export interface FilesLookOptions {
  /** Variables that are nearly settings. */
  readonly hints: readonly string[];
  /** Secrets need not be at hand, as in the CI of a repository. */
  readonly withoutSecrets: boolean;
  readonly isKubernetes: boolean;
}

/** All that needs no broker: settings, directory, secrets, handler. Tells what it finds as it goes; returns the directory. */
export async function lookAtFiles(options: Options, how: FilesLookOptions, tell: Tell): Promise<Directory | undefined> {
  tell(settingsCheck(how.hints));
  tell(windowCheck(options));
  if (!how.withoutSecrets) tell(await secretsCheck(options));
  const { directory, findings } = await directoryCheck(options, how.withoutSecrets);
  tell(findings);
  const { finding, confirms } = await handlerCheck(options, directory?.allowHosts ?? options.allowHost);
  tell(finding);
  if (directory !== undefined && finding.verdict === 'ok') tell(confirmCheck(directory.wantsConfirm, confirms));
  const longestMs = directory === undefined ? options.timeoutMs : longestTimeoutMs(directory, options.timeoutMs);
  tell(shutdownCheck(options.shutdownTimeoutMs, longestMs, how.isKubernetes));
  return directory;
}
