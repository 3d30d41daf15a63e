/**
 * How long nothing has moved. Tests wait as long as something does: a limit on the whole time would
 * only measure how fast the machine is, and who else works on it.
 */

/** After so long without any sign of progress a wait has failed. */
export const STILL_MS = 180_000;
/**
 * The most that may pass between two looks and count in full. While we are not run ourselves, on a
 * machine that is overloaded or was suspended, others are not run either.
 */
const BETWEEN_LOOKS_MS = 5_000;
/** CPU time that is a sign of progress; an idle weft takes far less of it in STILL_MS. */
const CPU_SIGN_SECONDS = 8;

export class Stillness {
  readonly #now: () => number;
  #signs = '';
  #looked: number;
  #stillMs = 0;

  /** `now` is a clock of milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#looked = now();
  }

  /** Takes the signs of now, anything that JSON can say; returns how long they have not changed. */
  look(...signs: readonly unknown[]): number {
    const text = JSON.stringify(signs);
    const now = this.#now();
    const passed = Math.min(now - this.#looked, BETWEEN_LOOKS_MS);
    this.#stillMs = text === this.#signs ? this.#stillMs + passed : 0;
    this.#signs = text;
    this.#looked = now;
    return this.#stillMs;
  }
}

/** CPU time as a sign of progress: work moves it, an idle process's upkeep does not in time. */
export function cpuSign(seconds: number): number {
  return Math.floor(seconds / CPU_SIGN_SECONDS);
}

/** Of one piece of output no more than this is looked at, and no more lines are kept in mind. */
const PIECE = 4_096;
const MOST_LINES = 1_000;

/** Output as a sign of progress; a line that comes again with other numbers is none. */
export class Said {
  readonly #lines = new Set<string>();

  get news(): number {
    return this.#lines.size;
  }

  take(text: string): void {
    if (this.#lines.size >= MOST_LINES) return;
    for (const line of text.slice(0, PIECE).split('\n')) this.#lines.add(line.replace(/\d+/g, '0'));
  }
}
