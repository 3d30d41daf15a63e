/**
 * Resource limits of the process (getrlimit(2)) that are too low for weft: found before the start
 * where that is possible, and told apart from weft's own mistakes where it is not.
 */
import { readFileSync } from 'node:fs';

/** What a daemon keeps open without any worker, and as much again as programs and clients need. */
const FILES_OF_ALL = 40;
/** A queue, a socket, and two threads with an event loop each. */
const FILES_OF_A_WORKER = 16;
/** Two HTTP servers of 128 connections each: without them health may find no room. */
const FILES_OF_CLIENTS = 256;
/** What the cure names: far above all that weft ever opens, and what most hosts give anyway. */
const AMPLE = 1024;

/** The limit of open files; undefined where /proc says nothing, or that there is none. */
export function openFileLimit(limits = readLimits()): number | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return '';
  }
}

/** Whether so many open files are enough for so many workers, and what to say if they are not. */
export function judgeOpenFiles(
  limit: number | undefined,
  workers: number,
): { readonly verdict: 'enough' } | { readonly verdict: 'few' | 'too few'; readonly why: string } {
  const least = FILES_OF_ALL + FILES_OF_A_WORKER * workers;
  if (limit === undefined || limit >= least + FILES_OF_CLIENTS) return { verdict: 'enough' };
  if (limit < least) {
    const why = `the limit of open files is ${limit}, and weft needs ${least} at least`;
    return { verdict: 'too few', why: `${why}: ${RAISE_FILES}` };
  }
  const why = `the limit of open files is ${limit}: many clients at once may find no room`;
  return { verdict: 'few', why: `${why}; ${RAISE_FILES}` };
}

const RAISE_FILES = `'ulimit -n ${AMPLE}' before the start, or LimitNOFILE=${AMPLE} in the unit`;

/**
 * What limit an error comes from, and its cure, in one line; undefined where it comes from none.
 * Sources: errno(3), setrlimit(2), fork(2), systemd.exec(5), systemd.resource-control(5).
 */
export function explainLimit(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EMFILE') {
    const limit = openFileLimit();
    const is = limit === undefined ? '' : `; the limit is ${limit}`;
    return `no more files can be opened${is}: ${RAISE_FILES}`;
  }
  if (code === 'ENFILE') {
    return 'no more files can be opened on the whole host: raise the sysctl fs.file-max';
  }
  if (code === 'EAGAIN' || code === 'ERR_WORKER_INIT_FAILED') return NO_THREAD;
  if (code === 'ENOMEM' || NO_MEMORY.test(error.message)) return NO_ADDRESSES;
  return undefined;
}

const NO_MEMORY = /could not allocate memory|Array buffer allocation failed/;
const NO_THREAD =
  'no more threads or processes can be started: raise ulimit -u, TasksMax= of the unit, or the ' +
  'pids limit of the container';
const NO_ADDRESSES =
  'not enough memory: free some, or raise the limits of this process: ulimit -v (LimitAS=), ' +
  'which should be unlimited, for V8 reserves gigabytes of addresses that cost nothing, or the ' +
  'memory limit of its cgroup (MemoryMax=)';
