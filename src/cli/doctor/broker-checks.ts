import type { Survey, Surveyed } from '../../broker/rabbitmq/survey.ts';
import { fail, type Finding, ok, warn } from './finding.ts';

/** How one address has answered. */
export interface Answer {
  /** Without a password. */
  readonly address: string;
  /** RabbitMQ's version; undefined when there was no connection. */
  readonly version?: string;
  /** Why there was none, and whether `work` would give up at once because of it. */
  readonly error?: string;
  readonly isFinal?: boolean;
}

/** An address that does not answer is borne while another one does, as `work` does. */
export function addressChecks(answers: readonly Answer[]): readonly Finding[] {
  const check = 'broker';
  const reached = answers.some(({ version }) => version !== undefined);
  return answers.map(({ address, version, error, isFinal }) => {
    if (version !== undefined) return ok(check, `${address} answers: RabbitMQ ${version}`);
    const what = error ?? `${address} does not answer`;
    if (isFinal === true) return fail(check, what, 'correct the address, user, password, virtual host or certificate');
    const fix = `see that RabbitMQ runs there and that this machine may connect to it, or take the address out of --broker`;
    return reached ? warn(check, what, fix) : fail(check, what, fix);
  });
}

export function versionCheck(version: string, problem: string | undefined): Finding {
  const check = 'version';
  if (problem !== undefined) return fail(check, problem, 'upgrade RabbitMQ; work does not start with this version');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (!(major > 3 || (major === 3 && minor >= 10))) {
    return fail(
      check,
      `RabbitMQ ${version}: delayed retries need what 3.10 brought`,
      'upgrade RabbitMQ to 3.10 or later',
    );
  }
  return ok(check, `${version} can be used`);
}

/** Queues and exchange as `work` would find them with this `--declare`. */
export function topologyChecks({ source, others }: Survey, mode: 'create' | 'passive'): readonly Finding[] {
  const check = 'queues';
  const all = [source, ...others];
  const findings = all.flatMap((each) => findingOf(each, each === source && mode === 'passive'));
  const missing = all.filter(({ standing }) => standing.kind === 'missing').map(({ name }) => name);
  if (missing.length > 0) findings.push(missingFinding(missing, all.length, mode, missing.includes(source.name)));
  if (findings.length > 0 || all.some(({ standing }) => standing.kind === 'refused')) return findings;
  return [ok(check, `all ${all.length} are there, with the arguments they need`)];
}

function findingOf({ name, standing }: Surveyed, isTolerated: boolean): Finding[] {
  const check = 'queues';
  switch (standing.kind) {
    case 'right':
    case 'missing':
    case 'refused': // told of by the permissions
      return [];
    case 'different': {
      // The sentence ends with the ways out.
      const [, what = standing.why, fix = 'delete it when it is empty, or use another --queue'] =
        /^(.*?)\. (Either use .*|Use another .*)$/s.exec(standing.why) ?? [];
      return [isTolerated ? warn(check, `${what} (--declare passive takes it as it is)`, fix) : fail(check, what, fix)];
    }
    case 'unknown':
      return [
        fail(
          check,
          `${name}: ${standing.why}`,
          'see that the broker has a majority of its nodes and is not overloaded',
        ),
      ];
  }
}

function missingFinding(
  missing: readonly string[],
  count: number,
  mode: 'create' | 'passive',
  source: boolean,
): Finding {
  const check = 'queues';
  const what = missing.length === count ? `none of the ${count} is there` : `missing: ${missing.join(', ')}`;
  if (mode === 'passive') {
    return fail(
      check,
      `${what}, and --declare passive makes none`,
      'make them, or run work once with --declare create',
    );
  }
  const dropped = source ? '; what is published before then is dropped by RabbitMQ' : '';
  return warn(check, `${what}; the first start of work makes them${dropped}`, 'start work before whatever publishes');
}

/** Exactly what `work` needs, for the user and the virtual host of an AMQP address. */
export function permitCommand(url: string, queue: string): string {
  const { username, pathname } = new URL(url);
  const user = username === '' ? 'guest' : decodeURIComponent(username);
  const vhost = pathname.length > 1 ? decodeURIComponent(pathname.slice(1)) : '/';
  const ours = queue.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const patterns = [`^${ours}(\\.|$)`, `^${ours}(\\.|$)|^amq\\.default$`, `^${ours}(\\.|$)`];
  const words = ['-p', vhost, user, ...patterns].map((word) =>
    /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`,
  );
  return `rabbitmqctl set_permissions ${words.join(' ')} gives what is needed; it replaces what rabbitmqctl list_user_permissions ${words[2]} shows`;
}

export function permissionsCheck({ notPermitted }: Survey, permit: string): readonly Finding[] {
  const check = 'permissions';
  if (notPermitted.length === 0) return [ok(check, 'this user may consume, publish and declare')];
  const told = (['declare', 'consume', 'publish'] as const).flatMap((action) => {
    const [first, ...more] = notPermitted.filter((each) => each.action === action).map(({ resource }) => resource);
    if (first === undefined) return [];
    return [`${action} (no access to ${first}${more.length === 0 ? '' : ` and ${more.length} more`})`];
  });
  return [fail(check, `this user may not ${told.join(', nor ')}`, permit)];
}

export function blockedCheck({ blocked, notPermitted }: Survey): readonly Finding[] {
  const check = 'publishing';
  if (notPermitted.some(({ action }) => action === 'publish')) return [];
  if (blocked === undefined) return [ok(check, 'the broker takes messages')];
  const fix =
    'rabbitmqctl status shows alarms: free memory or disk on the broker; until then no retry and no dead letter can be stored';
  return [fail(check, `the broker takes none: ${blocked}`, fix)];
}

/** What was looked at through the management API; `unsafe` and `notes` are as it says. */
export function managementChecks(
  found: { readonly unsafe: readonly string[]; readonly notes: readonly string[] } | undefined,
  mode: 'create' | 'passive',
  unseen: string,
): readonly Finding[] {
  const check = 'policies';
  if (found === undefined)
    return [warn(check, `not checked, because AMQP does not show them: ${unseen}`, 'give --management-url')];
  const findings: Finding[] = [];
  for (const each of found.unsafe) {
    const [, what = each, remedy = 'correct it on the broker'] = /^(.*)\. ((?:Take|Bind) .*)$/s.exec(each) ?? [];
    const fix = remedy.charAt(0).toLowerCase() + remedy.slice(1);
    // A binding that is missing is made by the next start, unless it may make nothing.
    const isMade = mode === 'create' && / is not bound to /.test(what);
    findings.push(isMade ? warn(check, what, 'start work: it binds it') : fail(check, what, fix));
  }
  for (const each of found.notes) {
    const unread = each.startsWith('could not be checked');
    const fix = unread
      ? 'see that --management-url answers, and that its user has the tag monitoring'
      : 'free memory or disk on that node';
    findings.push(unread ? warn(check, each, fix) : fail('alarms', each, fix));
  }
  return findings.length === 0
    ? [ok(check, 'no policy loses orders, retries come back, and no node has an alarm')]
    : findings;
}
