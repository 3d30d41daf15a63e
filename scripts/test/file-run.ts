/**
 * One test file in a process of its own, watched: it may take as long as it moves. It moves when a
 * test begins or ends, when it says something, and when it or its children work; only one that does
 * none of these for minutes is ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makerOf, markOf } from '../../test/support/maker.ts';
import { type Proc, treeOf } from '../../test/support/proc.ts';
import { cpuSign, STILL_MS, Stillness } from '../../test/support/stillness.ts';
import type { Line } from './reporter.ts';

export interface FileResult {
  readonly path: string;
  readonly seconds: number;
  /** CPU time of the file and its children, as far as it was seen. */
  readonly cpuSeconds: number;
  readonly lines: readonly Line[];
  /** What it printed beside its report: the last of it. */
  readonly output: string;
  /** Why it is not well besides its failed tests; empty when it is. */
  readonly faults: readonly string[];
  /** Names of what is in its folder for temporary files. */
  readonly left: readonly string[];
  /** The marks of all processes that descended from it (maker.ts). */
  readonly makers: ReadonlySet<string>;
}

const REPORTER = fileURLToPath(new URL('reporter.js', import.meta.url));
const LOOK_MS = 500;
const OUTPUT_BYTES = 64 * 1024;
/** Of a file whose CPU time moves but in which no test begins or ends: it goes round in a ring. */
const EVENTLESS_MS = (process.env.TEST_LONG === '1' ? 12 : 1) * 30 * 60_000;
/** For a file that was told to end, to remove what it made. */
const GRACE_MS = 20_000;
const LAST_LINES = 30;

export class FileRun {
  readonly path: string;
  readonly #folder: string;
  readonly #begun = performance.now();
  readonly #stillMs: number;
  readonly #still = new Stillness();
  readonly #eventless = new Stillness();
  readonly #dying = new Stillness();
  readonly #makers = new Set<string>();
  readonly #child: ChildProcess;
  readonly #faults: string[] = [];
  #output = '';
  #said = 0;
  #read = 0;
  #lines: Line[] = [];
  #cpuSeconds = 0;
  #isTold = false;

  /** Starts it. `folder` is its own, made here; whoever gives `stillMs` is a test of this file. */
  constructor(path: string, folder: string, stillMs = STILL_MS) {
    this.path = path;
    this.#folder = folder;
    this.#stillMs = stillMs;
    mkdirSync(this.#temporary, { recursive: true });
    // Of a session of its own: Ctrl-C reaches only the runner, which ends its files in order.
    this.#child = spawn(process.execPath, [`--test-reporter=${REPORTER}`, path], {
      detached: true,
      env: this.#environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (this.#child.pid !== undefined) this.#makers.add(makerOf(this.#child.pid));
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#said += text.length;
        this.#output = (this.#output + text).slice(-OUTPUT_BYTES);
      });
    }
  }

  get #temporary(): string {
    return join(this.#folder, 't');
  }

  get #events(): string {
    return join(this.#folder, 'events');
  }

  #environment(): NodeJS.ProcessEnv {
    // A test of the runner is itself run by one.
    const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
    return { ...rest, TMPDIR: this.#temporary, TEST_EVENTS: this.#events };
  }

  get seconds(): number {
    return (performance.now() - this.#begun) / 1000;
  }

  /** The test that runs now, with its suites; empty before the first. */
  get current(): string {
    const open: string[] = [];
    for (const { kind, name, depth } of this.#lines) {
      if (kind === 'begin') open.splice(depth, open.length, name);
      else if (kind !== 'note') open.splice(depth);
    }
    return open.join(' > ');
  }

  /** Resolves when it and its output have ended, in whatever way. */
  async result(): Promise<FileResult> {
    const timer = setInterval(() => this.#look(), LOOK_MS);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
      this.#child.once('error', (error) => this.#faults.push(error.message));
      // Not 'close': a child that was left behind may hold the output open.
      this.#child.once('exit', (...end) => resolve(end));
    });
    clearInterval(timer);
    this.#readLines();
    const failed = this.#lines.some(({ kind }) => kind === 'fail');
    if (!this.#isTold && ((code !== 0 && !failed) || signal !== null)) {
      this.#faults.push(`it ended with ${code ?? signal}${this.#where()}`);
    }
    const left = readdirSync(this.#temporary);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
    const { path, seconds } = this;
    return {
      ...{ path, seconds, cpuSeconds: this.#cpuSeconds, lines: this.#lines, left },
      ...{ output: this.#output, faults: this.#faults, makers: this.#makers },
    };
  }

  /** Has it clean up and end; one that does not is killed. */
  end(why: string): void {
    if (this.#isTold) {
      this.#kill();
      return;
    }
    this.#faults.push(`${why}${this.#where()}`);
    this.#isTold = true;
    this.#child.kill('SIGTERM');
  }

  #kill(): void {
    this.#child.kill('SIGKILL');
  }

  #look(): void {
    this.#readLines();
    const tree = treeOf(this.#child.pid ?? -1);
    for (const proc of tree) this.#makers.add(markOf(proc));
    const cpuSeconds = tree.reduce((sum, proc) => sum + proc.cpuSeconds, 0);
    this.#cpuSeconds = Math.max(this.#cpuSeconds, cpuSeconds);
    if (this.#isTold) {
      if (this.#dying.look() > Math.min(GRACE_MS, this.#stillMs)) this.#kill();
      return;
    }
    const events = this.#lines.length;
    const stillMs = this.#still.look(events, this.#said, cpuSign(cpuSeconds));
    const eventlessMs = this.#eventless.look(events);
    if (stillMs > this.#stillMs) {
      this.end(`it stood still: nothing for ${this.#stillMs / 1000} s${describe(tree)}`);
    } else if (eventlessMs > EVENTLESS_MS) {
      const minutes = EVENTLESS_MS / 60_000;
      this.end(`it works, but no test has begun or ended for ${minutes} minutes${describe(tree)}`);
    }
  }

  #readLines(): void {
    const bytes = readIfThere(this.#events).subarray(this.#read);
    const whole = bytes.subarray(0, bytes.lastIndexOf(10) + 1);
    this.#read += whole.length;
    const texts = whole.toString().split('\n').filter(Boolean);
    this.#lines.push(...texts.map((text) => JSON.parse(text) as Line));
  }

  #where(): string {
    const test = this.current === '' ? '' : `, in '${this.current}'`;
    const said = this.#output.trimEnd().split('\n').slice(-LAST_LINES).join('\n');
    return `${test}${said === '' ? '' : `; it printed last:\n${said}`}`;
  }
}

function describe(tree: readonly Proc[]): string {
  const lines = tree.map(({ pid, state, command }) => `  ${pid} ${state} ${command}`);
  return `; its processes:\n${lines.join('\n')}\n`;
}

function readIfThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
