import { readTlsFiles } from '../../broker/rabbitmq/tls.ts';
import { formatDuration } from '../../duration.ts';
import { messageOf } from '../../errors.ts';
import { bearerFrom } from '../../merchant/secrets.ts';
import type { Options } from '../../options.ts';
import { addressesOf } from '../publish-link.ts';
import { fail, type Finding, ok, warn } from './finding.ts';

/** After the last answer, for its outcome to be published, confirmed and acknowledged. */
const SETTLING_MS = 2_000;
/** terminationGracePeriodSeconds, when nobody sets it. */
const KUBERNETES_GRACE_MS = 30_000;

/** Variables that look like settings and are none: they are ignored, which their author does not know. */
export function settingsCheck(hints: readonly string[]): readonly Finding[] {
  const check = 'settings';
  if (hints.length === 0) return [ok(check, 'every value can be used')];
  return hints.map((hint) => warn(check, hint, 'rename the variable, or unset it'));
}

export function windowCheck({ concurrency, prefetch, windowBytes, maxMessageBytes }: Options): Finding {
  const check = 'window';
  if (concurrency > prefetch) {
    const what = `--concurrency ${concurrency} is more than --prefetch ${prefetch}: no more can be in flight than are in hand`;
    return warn(check, what, `set --prefetch to ${Math.min(65_535, Math.ceil(concurrency * 2.5))} or so`);
  }
  if (windowBytes < 10 * maxMessageBytes) {
    const what = `--window-bytes holds ${Math.floor(windowBytes / maxMessageBytes)} messages of --max-message-bytes`;
    return warn(
      check,
      what,
      'raise --window-bytes or lower --max-message-bytes, lest a few large orders stop all others',
    );
  }
  return ok(check, `${prefetch} orders in hand for ${concurrency} in flight`);
}

/** `longestMs` is the longest time-out of any merchant. */
export function shutdownCheck(shutdownTimeoutMs: number, longestMs: number, isKubernetes: boolean): Finding {
  const check = 'shutdown';
  const [limit, longest] = [formatDuration(shutdownTimeoutMs), formatDuration(longestMs)];
  if (shutdownTimeoutMs < longestMs + SETTLING_MS) {
    return warn(
      check,
      `a stop waits ${limit}, and the longest attempt takes ${longest}: one begun just before would be cut off, and may be sent twice`,
      `set --shutdown-timeout to ${formatDuration(longestMs + 5_000)} or more`,
    );
  }
  if (isKubernetes && shutdownTimeoutMs + SETTLING_MS > KUBERNETES_GRACE_MS) {
    return warn(
      check,
      `a stop may take ${limit}, and Kubernetes kills a pod after 30s unless told otherwise`,
      `see that terminationGracePeriodSeconds is ${Math.ceil((shutdownTimeoutMs + 5_000) / 1000)} or more`,
    );
  }
  return ok(check, `a stop waits ${limit}; the longest attempt takes ${longest}`);
}

/** What the settings themselves refer to; the merchants' secrets are the directory's. */
export async function secretsCheck(options: Options): Promise<readonly Finding[]> {
  const check = 'secrets';
  const findings: Finding[] = [];
  const { adminTokenFile, adminTokenEnv } = options;
  try {
    const { ca, cert, key } = readTlsFiles(addressesOf(options));
    if ((ca ?? cert ?? key) !== undefined) findings.push(ok(check, "the files of the broker's TLS can be used"));
  } catch (error) {
    findings.push(
      fail(check, messageOf(error), 'give a file that this user can read and that is what the option says'),
    );
  }
  try {
    const token = await bearerFrom(adminTokenFile, adminTokenEnv);
    if (token !== undefined) findings.push(ok(check, 'the admin token is there'));
  } catch (error) {
    findings.push(fail(check, messageOf(error), 'set it where the process runs'));
  }
  return findings;
}
