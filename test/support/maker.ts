/**
 * Who made a namespace, a folder or a process of the tests: a name that says whether the maker
 * still lives, so that what a dead one left can be removed and nothing of a living one is touched.
 */
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Proc, readProc } from './proc.ts';

/** Set for every child of a test: its makers, oldest first, with commas between them. */
export const MAKERS = 'TEST_MAKERS';

/**
 * `pid.start.namespace` in base 36. The start tells a pid that was given again from the first, and
 * the namespace of pids says whose pid it is: a container may share our files.
 */
export const MAKER_PATTERN = '[0-9a-z]+\\.[0-9a-z]+\\.-?[0-9a-z]+';

/** The first namespace of pids: PROC_PID_INIT_INO of the kernel's proc_ns.h. */
const FIRST_NAMESPACE = 0xefff_fffc;

/** This process's namespace of pids, pid_namespaces(7), counted from the first: paths are short. */
function pidNamespace(): number {
  return Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0]) - FIRST_NAMESPACE;
}

/** The mark of a process in our namespace of pids. */
export function markOf({ pid, start }: Pick<Proc, 'pid' | 'start'>): string {
  return [pid, start, pidNamespace()].map((number) => number.toString(36)).join('.');
}

/** The mark of a living process, this one unless told otherwise. */
export function makerOf(pid = process.pid): string {
  const found = readProc(pid);
  if (found === undefined) throw new Error(`there is no process ${pid}`);
  return markOf(found);
}

/** Whether we can be sure that a maker has ended; never of one in another namespace of pids. */
export function isDead(maker: string): boolean {
  const [pid, start, namespace] = maker.split('.').map((part) => Number.parseInt(part, 36));
  if (namespace !== pidNamespace()) return false;
  const found = readProc(pid!);
  return found === undefined || found.start !== start || found.state === 'Z';
}

/** What begins the names of all that this process makes. */
export const ownPrefix = `weft-${makerOf()}`;

const inherited = process.env[MAKERS];
process.env[MAKERS] = inherited === undefined ? makerOf() : `${inherited},${makerOf()}`;

/**
 * A new folder for a test's files; whoever makes it removes it. Its name has the maker's mark, by
 * which the next run finds it should this process be killed.
 */
export function makeFolder(what: string): string {
  return mkdtempSync(join(tmpdir(), `${ownPrefix}-${what}-`));
}

/** Does `work` with a new folder, and removes that. */
export async function withFolder<T>(
  what: string,
  work: (folder: string) => T,
): Promise<Awaited<T>> {
  const folder = makeFolder(what);
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
