/**
 * Child processes of the tests: run to the end, or kept in the background and stopped by pid. What
 * a test leaves running is ended when the test process ends, on Ctrl-C too; they carry its mark
 * (maker.ts), by which they are found should it be killed. None has a limit in time: a wait fails
 * when its process stands still.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import './maker.ts';
import { treeOf, waitedForCpuMs } from './proc.ts';
import { cpuSign, Said, STILL_MS, Stillness } from './stillness.ts';
import { announce, lookAt, type Subject } from './waitfor.ts';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
}

const OUTPUT_LIMIT = 64 * 1024 * 1024;
const cleanups: (() => void)[] = [];
let armed = false;

/**
 * Registers a synchronous clean-up for the end of this process, however it ends; returns a function
 * that forgets it again. The last one registered runs first.
 */
export function atEnd(cleanup: () => void): () => void {
  if (!armed) {
    armed = true;
    process.once('exit', cleanUp);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => process.exit(130));
    }
  }
  cleanups.push(cleanup);
  return () => {
    const index = cleanups.indexOf(cleanup);
    if (index >= 0) cleanups.splice(index, 1);
  };
}

function cleanUp(): void {
  for (const cleanup of cleanups.reverse()) cleanup();
}

/**
 * Runs a program to its end, whatever its exit code. Nothing else happens here meanwhile: one that
 * may hang for ever is found by the runner of the tests (scripts/test).
 */
export function attempt(argv: readonly string[], options: RunOptions = {}): Ran {
  const [program, ...rest] = argv;
  const ran = spawnSync(program!, rest, {
    encoding: 'utf8',
    input: options.input ?? '',
    maxBuffer: OUTPUT_LIMIT,
  });
  if (ran.error) throw new Error(`${argv.join(' ')}: ${ran.error.message}`);
  return { status: ran.status ?? -1, stdout: ran.stdout, stderr: ran.stderr };
}

/** Runs a program that must succeed; returns its standard output. */
export function run(argv: readonly string[], options: RunOptions = {}): string {
  const ran = attempt(argv, options);
  if (ran.status === 0) return ran.stdout;
  throw new Error(`${argv.join(' ')} ended with ${ran.status}: ${ran.stderr}${ran.stdout}`);
}

/** Runs a program to its end while this process goes on; for traffic while we look elsewhere. */
export async function runAside(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = new Background(argv, 'errand');
  child.write(options.input ?? '');
  child.endInput();
  const end = await child.wait();
  return { status: end.code ?? -1, stdout: child.stdout, stderr: child.stderr };
}

export interface End {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the signal, or from the start of the wait, to the end. */
  readonly milliseconds: number;
}

export interface Stop extends End {
  /** Without the time for which it was ready to run and others had the CPU, as far as seen. */
  readonly ownMilliseconds: number;
}

/** Time between two looks at how long a process that was told to end has waited for a CPU. */
const WATCH_MS = 5;
/** Lines of a process that a failure shows. */
const LAST_LINES = 30;
/** Time between two looks at a process that is to end. */
const LOOK_MS = 500;

/**
 * A process that runs beside the test: a companion, on which waits may depend, or an errand, whose
 * end is what it is for.
 */
export class Background implements Subject {
  readonly argv: readonly string[];
  readonly child: ChildProcess;
  readonly role: 'companion' | 'errand';
  /** Set when the process has ended and its output is complete. */
  end: { code: number | null; signal: NodeJS.Signals | null } | undefined;
  /** What else there is to say of it when a wait has failed. */
  moreWords: (() => Promise<string>) | undefined;
  private readonly output = { stdout: '', stderr: '' };
  private readonly said = new Said();
  private readonly ended: Promise<void>;
  private readonly onOutput = new Set<() => void>();

  constructor(argv: readonly string[], role: 'companion' | 'errand' = 'companion') {
    this.argv = argv;
    this.role = role;
    const [program, ...rest] = argv;
    const child = spawn(program!, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    child.stdin.on('error', () => undefined); // a process that ended early takes no more input
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.take('stdout', text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.take('stderr', text));
    const forget = atEnd(() => child.kill('SIGKILL'));
    const conceal = role === 'companion' ? announce(this) : () => undefined;
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => this.take('stderr', `${error.message}\n`));
      child.once('close', (code, signal) => {
        forget();
        this.end = { code, signal };
        if (!this.hasFallen()) conceal();
        this.take('stderr', '');
        resolve();
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get stdout(): string {
    if (this.role === 'companion') lookAt(this);
    return this.output.stdout;
  }

  get stderr(): string {
    if (this.role === 'companion') lookAt(this);
    return this.output.stderr;
  }

  hasEnded(): boolean {
    return this.end !== undefined;
  }

  hasFallen(): boolean {
    return this.end !== undefined && this.end.code !== 0 && !this.child.killed;
  }

  news(): number {
    return this.said.news;
  }

  async lastWords(): Promise<string> {
    const more = this.end === undefined ? await this.moreWords?.() : undefined;
    return [this.describe(LAST_LINES), ...(more === undefined ? [] : [more])].join('\n');
  }

  write(text: string | Uint8Array): void {
    this.child.stdin?.write(text);
  }

  endInput(): void {
    this.child.stdin?.end();
  }

  /** Waits for the end; a process that stands still is killed, and that is an error. */
  async wait(): Promise<End> {
    const start = performance.now();
    const still = new Stillness();
    let stuck = false;
    const timer = setInterval(() => {
      const cpuSeconds = treeOf(this.pid).reduce((sum, proc) => sum + proc.cpuSeconds, 0);
      if (this.end || still.look(this.news(), cpuSign(cpuSeconds)) < STILL_MS) return;
      stuck = true;
      this.child.kill('SIGKILL');
    }, LOOK_MS);
    await this.ended;
    clearInterval(timer);
    if (stuck) throw new Error(`it did not end, and did nothing any more:\n${this.describe()}`);
    return { ...this.end!, milliseconds: performance.now() - start };
  }

  /** Asks for the end and waits for it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Stop> {
    const before = waitedForCpuMs(this.pid);
    let latest = before;
    const timer = setInterval(() => {
      latest = Math.max(latest, waitedForCpuMs(this.pid));
    }, WATCH_MS);
    this.child.kill(signal);
    const end = await this.wait().finally(() => clearInterval(timer));
    return { ...end, ownMilliseconds: Math.max(0, end.milliseconds - (latest - before)) };
  }

  /**
   * Resolves when the output (either stream) matches; rejects when it never will, for the process
   * has ended, and when it has said nothing new for STILL_MS.
   */
  async waitForOutput(pattern: RegExp): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const still = new Stillness();
      const finish = (error?: Error) => {
        clearInterval(timer);
        this.onOutput.delete(look);
        if (error) reject(error);
        else resolve();
      };
      const fail = async (why: string) => finish(new Error(`${why}\n${await this.lastWords()}`));
      const look = () => {
        if (pattern.test(this.output.stdout) || pattern.test(this.output.stderr)) finish();
        else if (this.end) fail(`ended without ${pattern}:`);
      };
      const timer = setInterval(() => {
        if (still.look(this.news()) > STILL_MS) fail(`no ${pattern}, and nothing new is said:`);
      }, LOOK_MS);
      this.onOutput.add(look);
      look();
    });
  }

  /** Command and output, or its last lines, for the message of a failed test. */
  describe(lines?: number): string {
    const end = this.end ? `ended with ${this.end.code ?? this.end.signal}` : 'running';
    const all = `${this.output.stdout}${this.output.stderr}`;
    const text = lines === undefined ? all : all.trimEnd().split('\n').slice(-lines).join('\n');
    return `${this.argv.join(' ')} (${end})\n${text}`;
  }

  private take(stream: 'stdout' | 'stderr', text: string): void {
    this.output[stream] += text;
    this.said.take(text);
    for (const look of this.onOutput) look();
  }
}
