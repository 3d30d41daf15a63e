/** Which process has a descriptor open, and how an operator would know it: proc(5). */
import { readdirSync, readlinkSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { escapeText } from '../../untrusted/text.ts';
import { readProc } from '../proc.ts';

/** A process that has what we want. All text is bounded, and fit for a terminal. */
export interface Holder {
  readonly pid: number;
  /** `flanneld`, `weft run`, `python3 server.py`. */
  readonly program: string;
  /** Its systemd service, if stopping that stops this program and nothing more. */
  readonly unit?: string;
  readonly isOurselves: boolean;
  /** Whether it is in our network namespace; undefined where we may not look. */
  readonly here: boolean | undefined;
}

/** What a search through /proc found, and what it could not see. */
export interface Findings {
  readonly holders: readonly Holder[];
  /** Processes whose descriptors we may not look at, or had no time to. */
  readonly unseen: number;
}

/** Whether a descriptor is what is looked for; `info` reads its fdinfo. */
export type IsIt = (target: string, info: () => string) => boolean;

const PROC = '/proc';
/** A host with 10,000 processes is looked through in less; nobody waits longer for a name. */
const LONGEST_MS = 2_000;
/** Other work has its turn after so many. */
const PROCESSES_A_TURN = 32;
/** Every pod may have a TUN of the same name. */
const MOST_HOLDERS = 1_000;
const MOST_CHARACTERS = 60;

/** Looks at every descriptor of every process that /proc shows. Never throws. */
export async function findHolders(isIt: IsIt): Promise<Findings> {
  const deadline = performance.now() + LONGEST_MS;
  const pids = listNumbers(PROC) ?? [];
  const holders: Holder[] = [];
  let unseen = 0;
  for (const [index, pid] of pids.entries()) {
    if (index % PROCESSES_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    const late = holders.length >= MOST_HOLDERS || performance.now() > deadline;
    const has = late ? undefined : hasDescriptor(pid, isIt);
    if (has === undefined) unseen += 1;
    else if (has) holders.push(describe(pid));
  }
  return { holders, unseen: holders.length > 0 ? 0 : unseen };
}

/** Undefined where we may not look; a process that has ended meanwhile has nothing. */
function hasDescriptor(pid: number, isIt: IsIt): boolean | undefined {
  const folder = `${PROC}/${pid}/fd`;
  const descriptors = listNumbers(folder);
  if (descriptors === undefined) return readProc(`${PROC}/${pid}/stat`) === '' ? false : undefined;
  return descriptors.some((fd) => {
    try {
      const target = readlinkSync(`${folder}/${fd}`);
      return isIt(target, () => readProc(`${PROC}/${pid}/fdinfo/${fd}`));
    } catch {
      return false;
    }
  });
}

function describe(pid: number): Holder {
  const unit = serviceOf(readProc(`${PROC}/${pid}/cgroup`));
  return {
    pid,
    program: programOf(pid),
    ...(unit === undefined ? {} : { unit }),
    isOurselves: pid === process.pid,
    here: isHere(pid),
  };
}

const INTERPRETERS = /^(?:node|nodejs|python[\d.]*|perl|ruby|java|sh|bash|dash)$/;

/** As its user typed it, as far as it tells who it is. */
function programOf(pid: number): string {
  const words = readProc(`${PROC}/${pid}/cmdline`).split('\0').filter(Boolean);
  const own = words.findIndex((word) => isWeft(word, pid));
  const names = words.map((word) => basename(word));
  const script = words[1]?.startsWith('-') === true ? undefined : names[1];
  let name = names[0] ?? '';
  if (own >= 0 && own < 3) name = ['weft', words[own + 1] ?? ''].join(' ').trim();
  else if (INTERPRETERS.test(name) && script !== undefined) name = `${name} ${script}`;
  return escapeText(name || readProc(`${PROC}/${pid}/comm`).trim() || 'unknown', MOST_CHARACTERS);
}

/** Also where it was started by a path from the folder that it is in, as Node is told it. */
function isWeft(word: string, pid: number): boolean {
  if (basename(word) === 'weft') return true;
  return resolve(folderOf(pid), word) === process.argv[1];
}

function folderOf(pid: number): string {
  try {
    return readlinkSync(`${PROC}/${pid}/cwd`);
  } catch {
    return '/';
  }
}

/** A runtime or a login that goes takes more with it than the one process. */
const KEPT =
  /^(?:containerd|docker|crio|cri-o|kubelet|k3s|rke2|ssh|sshd|systemd-.*)[^/]*\.service$/;

/** The service that a process is the whole business of: `0::/system.slice/flanneld.service`. */
export function serviceOf(cgroup: string): string | undefined {
  const unit = /:\/system\.slice\/([\w@.:-]{1,80}\.service)$/m.exec(cgroup)?.[1];
  return unit === undefined || KEPT.test(unit) ? undefined : unit;
}

function isHere(pid: number): boolean | undefined {
  try {
    return readlinkSync(`${PROC}/${pid}/ns/net`) === readlinkSync(`${PROC}/thread-self/ns/net`);
  } catch {
    return undefined;
  }
}

function listNumbers(folder: string): number[] | undefined {
  try {
    return readdirSync(folder).map(Number).filter(Number.isInteger);
  } catch {
    return undefined;
  }
}
