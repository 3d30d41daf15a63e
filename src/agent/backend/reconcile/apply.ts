import { type BatchProgram, runBatch } from '../../../linux/batch.ts';
import type { Run } from '../../../linux/command.ts';
import { type Operation, placeOf, type Table } from './plan.ts';

/** An operation as the line that carries it out. */
export interface Task {
  readonly owner: string;
  readonly place: string;
  readonly program: BatchProgram;
  readonly line: string;
  /** Whether it is as good as done when the kernel finds nothing to remove. */
  readonly removes: boolean;
}

const PROGRAMS: Readonly<Record<Table, BatchProgram>> = {
  route: 'ip',
  neighbour: 'ip',
  forwarding: 'bridge',
};

/** ENOENT, ESRCH and a device that is gone, as strerror(3) and iproute2 put them. */
const NOTHING_THERE = /No such (?:process|file or directory|device)|Cannot find device/;

/**
 * @param device that neighbours and forwarding entries belong to; a route names its own
 */
export function taskOf({ verb, entry, owner }: Operation, device: string): Task {
  const removes = verb === 'remove';
  const { table, key, value } = entry;
  const word = removes ? 'delete' : 'replace';
  const line = {
    route: `route ${word} ${key} ${value} protocol boot`,
    neighbour: `neighbour ${word} ${key} lladdr ${value} dev ${device} nud permanent`,
    forwarding: `fdb ${word} ${key} dev ${device} dst ${value} self permanent`,
  }[table];
  return { owner, place: placeOf(entry), program: PROGRAMS[table], line, removes };
}

/**
 * Carries out tasks of one step, which all belong to one program.
 * @returns those that failed, and why
 * @throws CommandError if the program as a whole did not do its work
 */
export async function applyStep(run: Run, tasks: readonly Task[]): Promise<Map<Task, string>> {
  const failed = new Map<Task, string>();
  if (tasks.length === 0) return failed;
  const lines = tasks.map(({ line }) => line);
  for (const [at, reason] of await runBatch(run, tasks[0]!.program, lines)) {
    const task = tasks[at]!;
    if (!task.removes || !NOTHING_THERE.test(reason)) failed.set(task, reason);
  }
  return failed;
}
