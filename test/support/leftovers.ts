/**
 * What tests, the demo and the benches left that were ended before they could clean up. It is found
 * by its maker's mark (maker.ts), and nothing is touched whose maker lives: several runs may share
 * this machine.
 */
import { readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDead, MAKER_PATTERN, MAKERS } from './maker.ts';
import { environmentOf, listProcs, readProc } from './proc.ts';
import { attempt } from './process.ts';

export interface Leftover {
  readonly kind: 'process' | 'namespace' | 'folder';
  /** What a person would call it. */
  readonly name: string;
  /** Its makers, oldest first. */
  readonly makers: readonly string[];
  /** Says whether it is gone. */
  remove(): boolean;
}

const MARKED = new RegExp(`^weft-(${MAKER_PATTERN})-`);
/** Looks at the end of a process that was killed, a hundredth of a second each. */
const LOOKS = 500;
/** A process that has gone may have been a maker itself: then there is more to find. */
const ROUNDS = 4;
const STAYS = ', which cannot be removed';

/** All that is there and has a maker that is dead. `folders` is where temporary files are. */
export function findLeftovers(folders: readonly string[] = [tmpdir()]): Leftover[] {
  const all = [...processes(), ...namespaces(), ...folders.flatMap(foldersIn)];
  return all.filter(({ makers }) => makers.some(isDead));
}

/** Removes what dead makers left, a line for each. Processes go first: they hold the rest. */
export function removeLeftovers(folders: readonly string[] = [tmpdir()]): string[] {
  const lines: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const found = findLeftovers(folders);
    if (found.length === 0) break;
    for (const left of found) lines.push(`${left.kind} ${left.name}${left.remove() ? '' : STAYS}`);
  }
  return lines;
}

function processes(): Leftover[] {
  return listProcs().flatMap((proc) => {
    const makers = environmentOf(proc.pid, MAKERS)?.split(',');
    if (makers === undefined || proc.state === 'Z' || proc.pid === process.pid) return [];
    const isStill = () => {
      const now = readProc(proc.pid);
      return now !== undefined && now.start === proc.start && now.state !== 'Z';
    };
    const remove = () => end(proc.pid, isStill);
    return [{ kind: 'process' as const, name: `${proc.pid} ${proc.command}`, makers, remove }];
  });
}

function end(pid: number, isStill: () => boolean): boolean {
  try {
    if (isStill()) process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself between the look and now.
  }
  const bell = new Int32Array(new SharedArrayBuffer(4));
  for (let look = 0; look < LOOKS && isStill(); look++) Atomics.wait(bell, 0, 0, 10);
  return !isStill();
}

function namespaces(): Leftover[] {
  const listed = attempt(['ip', 'netns', 'list']).stdout.split('\n');
  return listed.flatMap((line) => {
    const name = line.split(' ')[0]!;
    const maker = MARKED.exec(name)?.[1];
    if (maker === undefined) return [];
    const remove = () => {
      removeNamespace(name);
      return !attempt(['ip', 'netns', 'list']).stdout.split(/\s/).includes(name);
    };
    return [{ kind: 'namespace' as const, name, makers: [maker], remove }];
  });
}

/** Ends what still runs inside (only we start anything there), then removes the namespace. */
export function removeNamespace(name: string): void {
  const pids = attempt(['ip', 'netns', 'pids', name]).stdout.split('\n').filter(Boolean);
  for (const pid of pids) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It ended by itself between the listing and now.
    }
  }
  attempt(['ip', 'netns', 'del', name]);
}

function foldersIn(parent: string): Leftover[] {
  return namesIn(parent).flatMap((entry) => {
    const maker = MARKED.exec(entry)?.[1];
    if (maker === undefined) return [];
    const path = join(parent, entry);
    const remove = () => {
      rmSync(path, { recursive: true, force: true, maxRetries: 5 });
      return !namesIn(parent).includes(entry);
    };
    return [{ kind: 'folder' as const, name: path, makers: [maker], remove }];
  });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Somebody else, who made it, has removed it.
  }
}
