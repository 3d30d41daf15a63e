/**
 * Waiting that is bounded by stillness and not by the clock: who gets on is waited for, however
 * slow the machine is; who neither runs nor wants to run is given up soon.
 */
import type { Awaited, Signs } from './signs.ts';

/**
 * Without any sign of life for so long, a thread or a program hangs: what the kernel does for one
 * request takes milliseconds, and longer waits are for locks that others hold meanwhile.
 */
export const STILL_MS = 10_000;
/** Time on a CPU that nothing which is waited for here needs: it runs in circles. */
const CIRCLES_MS = 60_000;
const LOOK_EVERY_MS = 250;
/** A wait that is longer than most is told of. */
const TELL_AFTER_MS = 3_000;

interface Seen {
  signs: Signs;
  stillMs: number;
  readonly firstMs: number;
}

/** Judges by looks, one after the other, at the same things or at others. */
export class Patience {
  private readonly limitMs: number;
  private seen = new Map<string, Seen>();
  private last: number | undefined;

  constructor(limitMs: number = STILL_MS) {
    this.limitMs = limitMs;
  }

  /**
   * @param now a clock in milliseconds
   * @returns a phrase for each that does not get on: its name, and how that shows
   */
  look(now: number, awaited: readonly Awaited[]): string[] {
    // Whoever looks may have had no CPU either: what was not looked at does not count.
    const passed = Math.min(now - (this.last ?? now), 2 * LOOK_EVERY_MS);
    this.last = now;
    const changed = awaited.some(({ name }) => !this.seen.has(name));
    const before = changed || awaited.length !== this.seen.size ? new Map() : this.seen;
    this.seen = new Map();
    return awaited.flatMap(({ name, signs }) =>
      this.judge(name, signs(), before.get(name), passed),
    );
  }

  private judge(name: string, signs: Signs, before: Seen | undefined, passed: number): string[] {
    const moves = before === undefined || signs.runnable || signs.cpuMs !== before.signs.cpuMs;
    const stillMs = moves ? 0 : before.stillMs + passed;
    const firstMs = before?.firstMs ?? signs.cpuMs;
    this.seen.set(name, { signs, stillMs, firstMs });
    if (stillMs >= this.limitMs) return [`${name}: no CPU time for ${this.limitMs / 1000} s`];
    if (signs.cpuMs - firstMs < CIRCLES_MS) return [];
    return [`${name}: ${CIRCLES_MS / 1000} s of CPU time, and no end`];
  }
}

export interface Wait {
  /** What is waited for, for the log: `the packet workers to end`. */
  readonly what: string;
  /** Those that it hangs on now; none where it hangs on nothing that can be looked at. */
  readonly awaited: () => readonly Awaited[];
  /** Told once, in a sentence, where it takes long. */
  readonly tell: (sentence: string) => void;
  readonly limitMs?: number;
}

/**
 * Resolves with the work's own end, or with phrases that say what does not get on.
 * @throws what the work throws
 */
export async function whileMoving(
  work: Promise<unknown> | undefined,
  { what, awaited, tell, limitMs }: Wait,
): Promise<readonly string[]> {
  const patience = new Patience(limitMs);
  const began = performance.now();
  let told = false;
  let timer: NodeJS.Timeout | undefined;
  const stands = new Promise<readonly string[]>((resolve) => {
    timer = setInterval(() => {
      const now = performance.now();
      const those = awaited();
      // What hangs on nothing to be seen is looked at as one that never moves.
      const still = patience.look(now, those.length > 0 ? those : [{ name: what, signs: nothing }]);
      if (still.length > 0) return resolve(still);
      if (told || now - began < TELL_AFTER_MS) return;
      told = true;
      tell(`waiting for ${what}: slow, but it gets on`);
    }, LOOK_EVERY_MS);
  });
  try {
    return await Promise.race([Promise.resolve(work).then(() => []), stands]);
  } finally {
    clearInterval(timer);
  }
}

const nothing = (): Signs => ({ cpuMs: 0, runnable: false });
