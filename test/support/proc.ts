/** The processes of this host by /proc, proc(5); what ends while we look is left out. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Proc {
  readonly pid: number;
  readonly parent: number;
  /** R, S, D, Z and so on. */
  readonly state: string;
  /** Since the boot, in clock ticks: with the pid it names one process for good. */
  readonly start: number;
  /** CPU time of its threads so far, and of its children that it has waited for. */
  readonly cpuSeconds: number;
  readonly command: string;
}

/** USER_HZ: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** One process; undefined where there is none of that pid. */
export function readProc(pid: number): Proc | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // The name may hold anything, parentheses too; numbers begin behind the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields.length < 20) return undefined;
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  return {
    pid,
    parent: Number(fields[1]),
    state: fields[0]!,
    start: Number(fields[19]),
    cpuSeconds: ticks / TICKS_PER_SECOND,
    command: command || stat.slice(stat.indexOf('('), stat.lastIndexOf(')') + 1),
  };
}

export function listProcs(): Proc[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => readProc(Number(pid)) ?? []);
}

/** A process and all that descend from it. */
export function treeOf(pid: number, all: readonly Proc[] = listProcs()): Proc[] {
  const tree = all.filter((proc) => proc.pid === pid);
  // Grows while it is walked.
  for (const { pid: parent } of tree) tree.push(...all.filter((proc) => proc.parent === parent));
  return tree;
}

/** How long its threads that live now have waited for a CPU, all together (schedstat). */
export function waitedForCpuMs(pid: number): number {
  const threads = namesIn(`/proc/${pid}/task`);
  const waits = threads.map((id) =>
    Number(read(`/proc/${pid}/task/${id}/schedstat`).split(' ')[1]),
  );
  return waits.reduce((sum, wait) => sum + (wait || 0), 0) / 1e6;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** A variable of the environment that a process was started with; undefined without it. */
export function environmentOf(pid: number, name: string): string | undefined {
  const entries = read(`/proc/${pid}/environ`).split('\0');
  return entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
