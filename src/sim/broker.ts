import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { messageOf, OrderlaneError } from '../errors.ts';

/** A RabbitMQ of our own on loopback, for demo, tests and benchmarks. It never outlives this process. */
export interface PrivateBroker {
  readonly url: string;
  readonly port: number;
  /** Of the management API; absent when it was not asked for. */
  readonly managementUrl?: string;
  /** As RabbitMQ prints it, such as `3.10.8`. */
  readonly version: string;
  /** Everything it writes, `broker.pid` included; removed when it ends. */
  readonly dir: string;
  /** The last lines of its output. */
  tail(): string;
  /** Runs rabbitmqctl against it and gives its output, without headings. */
  ctl(...args: string[]): Promise<string>;
  /** Ends it by this signal and starts it anew, with the same port and data; resolves when it is ready again. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Stops it in the midst of whatever it does, with its sockets open, until it is thawed. */
  freeze(): void;
  thaw(): void;
  /** Resolves when its processes and its folder are gone. Safe twice. */
  stop(): Promise<void>;
}

export interface BrokerOptions {
  /** Erlang schedulers, which is how many cores it can use. @default 1 */
  readonly schedulers?: number;
  /** Whether it has the management API, with which it starts later. @default false */
  readonly management?: boolean;
  /** Aborting while it starts stops it, and rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** A folder with a Debian of its own that has RabbitMQ, to be run in by chroot; needs root. @default the system */
  readonly root?: string;
  /** Picks distinct free ports on 127.0.0.1. @default what the system hands out */
  readonly choosePorts?: (count: number) => Promise<readonly number[]>;
}

// Not Debian's wrappers in /usr/sbin: those `su` to a system user and write to the system's log folder.
const BIN = '/usr/lib/rabbitmq/bin';
const START_LIMIT_MS = 60_000;
const CTL_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;
const STARTS = 5;
const TAIL_LINES = 40;
const PREFIX = 'orderlane-broker-';

/**
 * Runs the broker and its own epmd for as long as standard input stays open: when the parent dies, however it dies, the
 * pipe ends, and both go, with the folder. `sh` gives "&" commands /dev/null for standard input, hence fd 3. epmd comes
 * first, because Erlang would otherwise start one as a daemon, which nobody stops. The broker is killed outright: nothing
 * of it is to be kept, and while it starts it heeds no other signal. `kill 0` is the keeper's own group. A broker that ends
 * while there is a file `again` is started anew. One in a root of its own has /proc there, which RabbitMQ's memory and disk
 * monitors read, in a mount namespace that goes with it.
 */
const KEEPER = `
exec 3<&0 </dev/null
broker=
run() {
  if [ -z "$BROKER_ROOT" ]; then exec "$@"; fi
  exec unshare --mount sh -c 'mount -t proc proc "$0/proc" 2>/dev/null; exec chroot "$0" "$@"' "$BROKER_ROOT" "$@"
}
cleanup() {
  trap : TERM INT HUP
  [ -z "$broker" ] || kill -KILL $broker
  kill -TERM 0
  wait
  rm -rf "$BROKER_DIR"
}
trap 'cleanup 2>/dev/null' EXIT
trap 'exit 143' TERM INT HUP
(while read -r _ <&3; do :; done; kill -TERM $$) &
exec 3<&-
run epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 & epmd=$!
until (run timeout 1 epmd -port "$ERL_EPMD_PORT" -names) >/dev/null 2>&1; do
  kill -0 $epmd 2>/dev/null || { echo "epmd did not start"; exit 1; }
  sleep 0.05
done
while :; do
  run "$BROKER_BIN/rabbitmq-server" & broker=$!
  wait $broker; code=$?
  broker=
  rm "$BROKER_DIR/again" 2>/dev/null || exit $code
done
`;

export async function startBroker(options: BrokerOptions = {}): Promise<PrivateBroker> {
  options.signal?.throwIfAborted();
  const server = join(options.root ?? '/', BIN, 'rabbitmq-server');
  if (!existsSync(server)) {
    throw new OrderlaneError(
      'FATAL',
      `RabbitMQ not found: expected ${server}. Install it with "make setup", or with ` +
        '"sudo apt-get install --no-install-recommends rabbitmq-server".',
    );
  }
  for (let start = 1; ; start++) {
    const keeper = await Keeper.spawn(options);
    try {
      return await keeper.ready(options.signal);
    } catch (error) {
      await keeper.stop();
      // A port can be taken between our choice and the broker's bind; other ports then do.
      if (!keeper.lostItsPort() || start === STARTS || options.signal?.aborted) throw error;
    }
  }
}

/** One try at a broker: its folder, its ports, and the shell that keeps it. */
class Keeper implements PrivateBroker {
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  managementUrl?: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #child: ReturnType<typeof spawnKeeper>;
  readonly #gone: Promise<string>;
  /** Its output has ended, too. */
  readonly #silent: Promise<undefined>;
  readonly #tail: string[] = [];
  #version: string | undefined;
  #heard: (line: string) => void = () => {};
  #stopped: Promise<void> | undefined;

  private constructor(dir: string, port: number, env: Readonly<Record<string, string>>) {
    this.dir = dir;
    this.port = port;
    this.url = `amqp://guest:guest@127.0.0.1:${port}`;
    this.#env = env;
    const child = spawnKeeper(env);
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('error', (error) => resolve(messageOf(error)));
      child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `exit code ${code}`}`));
    });
    this.#silent = new Promise((resolve) => child.once('close', () => resolve(undefined)));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#note(line));
    }
  }

  static async spawn(options: BrokerOptions): Promise<Keeper> {
    const { schedulers = 1, management = false, root = '', choosePorts = freePorts } = options;
    const [port, distPort, epmdPort, apiPort] = (await choosePorts(4)) as [number, number, number, number];
    const dir = await mkdtemp(root === '' ? join(tmpdir(), PREFIX) : join(root, 'tmp', PREFIX));
    const api = management ? `management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = ${apiPort}\n` : '';
    await writeFile(join(dir, 'rabbitmq.conf'), configuration(port) + api);
    await writeFile(join(dir, 'enabled_plugins'), management ? '[rabbitmq_management].\n' : '[].\n');
    const own = environment(dir.slice(root.length), distPort, epmdPort, schedulers);
    const keeper = new Keeper(dir, port, { ...own, BROKER_DIR: dir, BROKER_ROOT: root });
    if (management) keeper.managementUrl = `http://127.0.0.1:${apiPort}`;
    return keeper;
  }

  get version(): string {
    return this.#version ?? 'unknown';
  }

  tail(): string {
    return this.#tail.join('\n');
  }

  /** epmd does not say why it did not start. */
  lostItsPort(): boolean {
    return /eaddrinuse|(already|address) in use|dist_port_already_used|epmd did not start/i.test(this.tail());
  }

  async ready(signal?: AbortSignal): Promise<PrivateBroker> {
    const started = new Promise<undefined>((resolve) => {
      this.#heard = (line) => {
        this.#version ??= /RabbitMQ (\d+\.\d+\.\d+\S*)/.exec(line)?.[1];
        if (line.includes('Server startup complete')) resolve(undefined);
      };
    });
    await this.#begun(started, signal);
    return this;
  }

  async restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await writeFile(join(this.dir, 'again'), '');
    const started = new Promise<undefined>((resolve) => {
      this.#heard = (line) => {
        if (line.includes('Server startup complete')) resolve(undefined);
      };
    });
    this.#signal(signal);
    await this.#begun(started);
  }

  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  #signal(signal: NodeJS.Signals): void {
    process.kill(Number(readFileSync(join(this.dir, 'broker.pid'), 'utf8')), signal);
  }

  async #begun(started: Promise<undefined>, signal?: AbortSignal): Promise<void> {
    const over = new AbortController();
    const late = sleep(START_LIMIT_MS, `it was not ready within ${START_LIMIT_MS / 1000} s`, { signal: over.signal });
    const aborted = new Promise<string>((resolve) => {
      signal?.addEventListener('abort', () => resolve('aborted'), { signal: over.signal });
    });
    try {
      signal?.throwIfAborted();
      const failure = await Promise.race([started, this.#gone, late, aborted]);
      signal?.throwIfAborted();
      if (failure === undefined) return;
      await Promise.race([this.#silent, late, aborted]);
      throw new OrderlaneError(
        'FATAL',
        `the private RabbitMQ did not start: ${failure}. Its last words:\n${this.tail()}`,
      );
    } finally {
      over.abort();
      late.catch(() => undefined); // its AbortError says only that the wait is over
    }
  }

  async ctl(...args: string[]): Promise<string> {
    if (this.#stopped !== undefined) throw new OrderlaneError('FATAL', 'rabbitmqctl: the private RabbitMQ is stopped');
    try {
      const options = { env: this.#env, timeout: CTL_LIMIT_MS, maxBuffer: 64 * 1024 * 1024 };
      const root = this.#env['BROKER_ROOT'] as string;
      const [command, ...before] = [...(root === '' ? [] : ['chroot', root]), join(BIN, 'rabbitmqctl')];
      const { stdout } = await promisify(execFile)(command as string, [...before, ...args, '--silent'], options);
      return stdout;
    } catch (error) {
      const said = (error as { stderr?: string }).stderr?.trim();
      const why = said === undefined || said === '' ? messageOf(error) : said;
      throw new OrderlaneError('FATAL', `rabbitmqctl ${args.join(' ')} failed: ${why}`, { cause: error });
    }
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const late = new AbortController();
    const deadline = sleep(STOP_LIMIT_MS, undefined, { signal: late.signal }).then(
      () => this.#killGroup(),
      () => undefined, // it went in time
    );
    await this.#gone;
    late.abort();
    await deadline;
    this.#killGroup(); // nobody is left in it, unless the keeper itself was killed
    await rm(this.dir, { recursive: true, force: true, maxRetries: 3 });
  }

  #killGroup(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #note(line: string): void {
    this.#tail.push(line);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    this.#heard(line);
  }
}

/** In a session of its own, so that a Ctrl-C reaches us first, and we decide what ends when. */
function spawnKeeper(env: Readonly<Record<string, string>>) {
  return spawn('/bin/sh', ['-c', KEEPER], { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
}

/** The log is small because a full one is moved into segments at one go, and hardly anything else is served meanwhile. */
function configuration(port: number): string {
  return `listeners.tcp.1 = 127.0.0.1:${port}
log.console = true
log.file = false
disk_free_limit.absolute = 64MB
vm_memory_high_watermark.absolute = 512MB
raft.wal_max_size_bytes = 16777216
`;
}

/** `dir` as the broker sees it. All of it: the caller's own RABBITMQ_ and ERL_ variables are about another broker. */
function environment(
  dir: string,
  distPort: number,
  epmdPort: number,
  schedulers: number,
): Readonly<Record<string, string>> {
  const erlang = '-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}';
  return {
    PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`,
    LANG: 'C.UTF-8',
    HOME: dir,
    BROKER_BIN: BIN,
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: `orderlane-${randomBytes(4).toString('hex')}@localhost`,
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_CONFIG_FILE: join(dir, 'rabbitmq.conf'),
    // Names of nothing, so that what the system's own broker is configured with is not read.
    RABBITMQ_CONFIG_FILES: join(dir, 'conf.d'),
    RABBITMQ_CONF_ENV_FILE: join(dir, 'rabbitmq-env.conf'),
    RABBITMQ_MNESIA_BASE: join(dir, 'mnesia'),
    RABBITMQ_LOG_BASE: join(dir, 'log'),
    RABBITMQ_PID_FILE: join(dir, 'broker.pid'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(dir, 'config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(dir, 'enabled_plugins'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${erlang} +S ${schedulers}:${schedulers} +sbwt none`,
    RABBITMQ_CTL_ERL_ARGS: erlang,
    // No erl_crash.dump in whatever folder we were started in.
    ERL_CRASH_DUMP_SECONDS: '0',
    // rabbitmqctl's own listening port: whichever is free.
    RABBITMQ_CTL_DIST_PORT_MIN: '0',
    RABBITMQ_CTL_DIST_PORT_MAX: '0',
    // Makes the script become the broker instead of its parent: one process, one pid to signal.
    RUNNING_UNDER_SYSTEMD: 'true',
  };
}

async function freePorts(count: number): Promise<readonly number[]> {
  // All are held at once, so that they differ.
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    ports.push((server.address() as { port: number }).port);
  }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
