import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_S = 100; // USER_HZ, fixed on Linux

export interface Usage {
  /** Of a process and all its descendants. */
  readonly cpuMs: number;
  /** Of the process's own first thread. */
  readonly mainMs: number;
  /** Of all of them, the highest of each added up. */
  readonly peakMb: number;
}

/** What a process and its descendants have used, read from /proc: the same code for every system measured. */
export function usageOf(pid: number): Usage {
  let ticks = 0;
  let mainMs = 0;
  let peakKb = 0;
  for (const member of treeOf(pid)) {
    try {
      const fields = statOf(member);
      ticks += Number(fields[11]) + Number(fields[12]); // utime, stime
      peakKb += Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${member}/status`, 'utf8'))?.[1] ?? 0);
      if (member === pid) mainMs = mainThreadMs(pid);
    } catch {
      // It ended in the meantime.
    }
  }
  return { cpuMs: (ticks * 1000) / TICKS_PER_S, mainMs, peakMb: peakKb / 1024 };
}

/** CPU time of a process's first thread, in which Node runs its main event loop; to the nanosecond, unlike that of processes. */
export function mainThreadMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const parent = Number(statOf(Number(name))[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended in the meantime.
    }
  }
  const tree = [root];
  for (const member of tree) tree.push(...(children.get(member) ?? []));
  return tree;
}

/** The fields of /proc/PID/stat from the state on: the name before it may hold spaces. */
function statOf(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
