/**
 * What shows from outside that a thread or a program gets on: proc(5), `stat` for its state and
 * `schedstat` for its time on a CPU in nanoseconds. One that waits for a CPU is runnable, however
 * long it has to wait: then the machine is slow, not the thread.
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface Signs {
  /** Time on a CPU so far in milliseconds; -1 once it is gone. */
  readonly cpuMs: number;
  /** Runs, or would if it had a CPU. */
  readonly runnable: boolean;
}

/** Something that is waited for. */
export interface Awaited {
  /** In a sentence: `tx pump 0 (thread 4711)`. */
  readonly name: string;
  signs(): Signs;
}

export const GONE: Signs = { cpuMs: -1, runnable: false };

/** USER_HZ, fixed by the kernel's ABI on x86-64 and arm64. */
const TICK_MS = 10;

/** A thread of this process by its kernel id. */
export function threadSigns(thread: number): Signs {
  return signsOf(`/proc/self/task/${thread}`);
}

/** A program by its process id. */
export function programSigns(pid: number): Signs {
  return signsOf(`/proc/${pid}`);
}

/** All threads of this process but the one that runs JavaScript's main, taken together. */
export function otherThreadsSigns(): Signs {
  const others = readdirSync('/proc/self/task').filter((thread) => Number(thread) !== process.pid);
  const all = others.map((thread) => threadSigns(Number(thread)));
  return {
    cpuMs: all.reduce((sum, { cpuMs }) => sum + Math.max(0, cpuMs), 0),
    runnable: all.some(({ runnable }) => runnable),
  };
}

function signsOf(folder: string): Signs {
  try {
    const stat = readFileSync(`${folder}/stat`, 'latin1');
    // The name before may hold anything, parentheses too.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const runnable = fields[0] === 'R';
    return { cpuMs: nanosecondsOf(folder) ?? ticksOf(fields) * TICK_MS, runnable };
  } catch {
    return GONE;
  }
}

/** utime and stime, proc(5) fields 14 and 15. */
function ticksOf(fields: readonly string[]): number {
  return Number(fields[11]) + Number(fields[12]);
}

/** Undefined where the kernel keeps no such statistics (CONFIG_SCHED_INFO). */
function nanosecondsOf(folder: string): number | undefined {
  try {
    return Number(readFileSync(`${folder}/schedstat`, 'latin1').split(' ')[0]) / 1e6;
  } catch {
    return undefined;
  }
}
