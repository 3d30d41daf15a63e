/** Runs test files, so many at once, each watched; and looks after what they leave behind. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findLeftovers, removeLeftovers } from '../../test/support/leftovers.ts';
import { makeFolder, makerOf } from '../../test/support/maker.ts';
import { attempt } from '../../test/support/process.ts';
import { type FileResult, FileRun } from './file-run.ts';
import { shortName } from './files.ts';

/** How the runner was told to run. */
export interface Wishes {
  readonly files: readonly string[];
  /** Files that run at once. */
  readonly atOnce: number;
  /** Milliseconds without any progress after which a file is ended. */
  readonly stillMs: number;
  /** Is handed the result of each file when that has ended. */
  readonly ended: (result: FileResult) => void;
  /** Is handed a line for whoever watches. */
  readonly tell: (line: string) => void;
}

export interface Outcome {
  readonly results: readonly FileResult[];
  /** What tests left behind; it is gone by now. */
  readonly left: readonly string[];
  /** A signal ended the run before all files had run. */
  readonly interrupted: NodeJS.Signals | undefined;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** A line for each file that takes longer than this, and again after as long. */
const TELL_MS = 60_000;

export class Run {
  readonly #wishes: Wishes;
  readonly #folder = makeFolder('r');
  readonly #running = new Set<FileRun>();
  readonly #results: FileResult[] = [];
  readonly #left: string[] = [];
  #interrupted: NodeJS.Signals | undefined;

  constructor(wishes: Wishes) {
    this.#wishes = wishes;
  }

  async all(): Promise<Outcome> {
    for (const line of removeLeftovers()) {
      this.#wishes.tell(`removed what a run that was killed had left: ${line}`);
    }
    for (const signal of SIGNALS) process.on(signal, () => this.#interrupt(signal));
    const before = devices();
    const waiting = this.#wishes.files.entries();
    const lanes = Array.from({ length: this.#wishes.atOnce }, () => this.#lane(waiting));
    const timer = setInterval(() => this.#tellWhoRuns(), TELL_MS);
    await Promise.all(lanes);
    clearInterval(timer);
    // Processes first: a file that was killed leaves some that make more.
    const makers = new Set(this.#results.flatMap((result) => [...result.makers]));
    this.#sweep((maker) => makers.has(maker));
    const added = devices().filter((device) => !before.includes(device));
    this.#left.push(...added.map((device) => `device ${device}`));
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
    const [results, left] = [this.#results, this.#left];
    return { results, left, interrupted: this.#interrupted };
  }

  async #lane(waiting: Iterator<[number, string]>): Promise<void> {
    for (;;) {
      const next = waiting.next();
      if (next.done === true || this.#interrupted !== undefined) return;
      const [number, path] = next.value;
      const run = new FileRun(path, join(this.#folder, String(number)), this.#wishes.stillMs);
      this.#running.add(run);
      const result = await run.result();
      this.#running.delete(run);
      this.#results.push(result);
      this.#sweep((maker) => result.makers.has(maker), path);
      const folders = result.left.map((name) => `file ${name} of ${shortName(path)}`);
      this.#left.push(...folders);
      this.#wishes.ended(result);
    }
  }

  /** Removes what dead makers left, and keeps in mind what was left by those that are ours. */
  #sweep(isOurs: (maker: string) => boolean, path?: string): void {
    const run = makerOf();
    for (const left of findLeftovers([tmpdir()])) {
      const ours = left.makers.includes(run) || left.makers.some(isOurs);
      if (!ours) continue;
      const of = path === undefined ? '' : ` of ${shortName(path)}`;
      const gone = left.remove() ? '' : ', which cannot be removed';
      this.#left.push(`${left.kind} ${left.name}${of}${gone}`);
    }
  }

  #interrupt(signal: NodeJS.Signals): void {
    this.#wishes.tell(`${signal}: ending the tests under way`);
    this.#interrupted = signal;
    for (const run of this.#running) run.end(`ended by ${signal}`);
  }

  #tellWhoRuns(): void {
    for (const run of this.#running) {
      if (run.seconds * 1000 < TELL_MS) continue;
      const what = `${shortName(run.path)} for ${Math.round(run.seconds)} s`;
      this.#wishes.tell(`… still at ${what}: ${run.current || 'no test yet'}`);
    }
  }
}

/** Names of this namespace's links. */
function devices(): string[] {
  const lines = attempt(['ip', '-brief', 'link']).stdout.split('\n');
  return lines.map((line) => line.split(/[@ ]/)[0]!).filter(Boolean);
}
