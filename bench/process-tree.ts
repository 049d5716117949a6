import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_S = 100; // USER_HZ, fixed on Linux

/** CPU and memory of a process and all its descendants, read from /proc: the same code for every system measured. */
export function usageOf(pid: number): { readonly cpuMs: number; readonly peakMb: number } {
  let ticks = 0;
  let peakKb = 0;
  for (const member of treeOf(pid)) {
    try {
      const fields = statOf(member);
      ticks += Number(fields[11]) + Number(fields[12]); // utime, stime
      peakKb += Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${member}/status`, 'utf8'))?.[1] ?? 0);
    } catch {
      // It ended in the meantime.
    }
  }
  return { cpuMs: (ticks * 1000) / TICKS_PER_S, peakMb: peakKb / 1024 };
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
