import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** What the process may use here. */
export interface Machine {
  /** Open files and sockets; undefined when the system does not tell. */
  readonly openFiles: number | undefined;
  readonly memoryBytes: number;
  /** Whether that is a limit set for this process, as a container's, or all the machine has. */
  readonly isMemoryLimited: boolean;
  /** Processors it may keep busy at once; a container's quota may be a fraction. */
  readonly cores: number;
  readonly isKubernetes: boolean;
}

export function thisMachine(): Machine {
  const total = totalmem();
  const constrained = process.constrainedMemory();
  const isMemoryLimited = constrained > 0 && constrained < total;
  return {
    openFiles: openFilesIn(textOf('/proc/self/limits')),
    memoryBytes: isMemoryLimited ? constrained : total,
    isMemoryLimited,
    cores: Math.min(availableParallelism(), cpuQuota(textOf)),
    isKubernetes: process.env['KUBERNETES_SERVICE_HOST'] !== undefined,
  };
}

/** The soft limit, which Node has raised to the hard one when it started; from the text of /proc/self/limits. */
export function openFilesIn(limits: string): number | undefined {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/**
 * Processors by the cgroup's CPU quota, the lowest from our group up to the root: Node's own count is rounded. A container
 * mostly sees its own group as the root.
 */
export function cpuQuota(read: (path: string) => string): number {
  const group = /^0::(.*)$/m.exec(read('/proc/self/cgroup'))?.[1] ?? '/';
  let lowest = Number.POSITIVE_INFINITY;
  for (let path = group; ; path = dirname(path)) {
    const [quota, period] = read(join('/sys/fs/cgroup', path, 'cpu.max'))
      .trim()
      .split(' ')
      .map(Number);
    if (quota !== undefined && period !== undefined && quota > 0 && period > 0)
      lowest = Math.min(lowest, quota / period);
    if (path === dirname(path)) break;
  }
  const [quota, period] = ['quota', 'period'].map((name) => Number(read(`/sys/fs/cgroup/cpu/cpu.cfs_${name}_us`)));
  return quota !== undefined && period !== undefined && quota > 0 && period > 0
    ? Math.min(lowest, quota / period)
    : lowest;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // another system, or another version of cgroups
  }
}
