import { type Awaited, programSigns } from './signs.ts';

/** Programs that somebody waits for now, by process id. */
const running = new Map<number, string>();

/**
 * Notes a program that is waited for.
 * @returns forgets it again
 */
export function noteProgram(pid: number, name: string): () => void {
  running.set(pid, `${name} (process ${pid})`);
  return () => running.delete(pid);
}

/** All that are waited for now, by anybody. */
export function runningPrograms(): Awaited[] {
  return [...running].map(([pid, name]) => ({ name, signs: () => programSigns(pid) }));
}
