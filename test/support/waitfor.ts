/**
 * Waiting for a condition, as long as something moves. A wait knows what its probe looks at, ends
 * at once when that has died, and tells what it said last.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { STILL_MS, Stillness } from './stillness.ts';

/** Something with a life of its own that a test may wait for: a process, most often. */
export interface Subject {
  /** Whether it has ended: then nothing more comes of it. */
  hasEnded(): boolean;
  /** Whether it ended badly, and without having been told to. */
  hasFallen(): boolean;
  /** Changes as long as it says something new. */
  news(): unknown;
  /** What it said last, for a message. */
  lastWords(): string | Promise<string>;
}

/** Milliseconds between two looks. */
export interface Pace {
  readonly every?: number;
}

const looks = new AsyncLocalStorage<Set<Subject>>();
/** All that live now, or have fallen; the last words of a wait whose probe looked at none. */
const known = new Set<Subject>();

/** Tells the wait under way, if there is one, that its probe depends on the subject. */
export function lookAt(subject: Subject): void {
  looks.getStore()?.add(subject);
}

/** Has waits know of a subject; the answer has them forget it. */
export function announce(subject: Subject): () => void {
  known.add(subject);
  return () => known.delete(subject);
}

/**
 * Looks again and again until `probe` answers something truthy, and hands that back. A probe that
 * throws has not succeeded yet. It fails at once when something that the probe looks at has ended,
 * or when anything fell that the test had started; else only when nothing has changed for STILL_MS:
 * neither what the probe answers nor what is said by that which it looks at.
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  { every = 10 }: Pace = {},
): Promise<NonNullable<T>> {
  const begun = performance.now();
  const still = new Stillness();
  const seen = new Set<Subject>();
  const fell = fallen();
  for (;;) {
    const ended = [...seen].filter((subject) => subject.hasEnded());
    const fallenNow = fallen().filter((subject) => !fell.includes(subject));
    let last: unknown;
    try {
      last = await looks.run(seen, async () => await probe());
      if (last) return last as NonNullable<T>;
    } catch (error) {
      last = error;
    }
    // Their end came before this look, which had all there will ever be to see.
    const dead = ended.length > 0 ? ended : fallenNow;
    const stillMs = still.look(describe(last), ...[...seen].map((subject) => subject.news()));
    if (dead.length > 0 || stillMs > STILL_MS) {
      const seconds = Math.round((performance.now() - begun) / 1000);
      const why = dead.length > 0 ? 'it has ended' : `nothing changed for ${STILL_MS / 1000} s`;
      const from = dead.length > 0 ? dead : seen.size > 0 ? [...seen] : [...known];
      const words = await Promise.all(from.map((subject) => subject.lastWords()));
      const head = `waited ${seconds} s in vain for ${what}: ${why}; last seen: ${describe(last)}`;
      throw new Error([head, ...words].join('\n'), { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** Waits until so many milliseconds have passed; for tests whose subject is time itself. */
export async function waitOut(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function fallen(): Subject[] {
  return [...known].filter((subject) => subject.hasFallen());
}

function describe(last: unknown): string {
  if (last instanceof Error) return `the error ${last.message}`;
  if (last === undefined || last === null || last === '') return 'nothing';
  return JSON.stringify(last) ?? String(last);
}
