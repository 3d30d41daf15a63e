/**
 * Child processes of the tests: run to the end, or kept in the background and stopped by pid. What
 * a test leaves running is ended when the test process ends, on Ctrl-C too.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
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

/** Runs a program to its end, whatever its exit code. */
export function attempt(argv: readonly string[], options: RunOptions = {}): Ran {
  const [program, ...rest] = argv;
  const ran = spawnSync(program!, rest, {
    encoding: 'utf8',
    input: options.input ?? '',
    timeout: options.timeoutMs ?? 30_000,
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
  const child = new Background(argv);
  child.write(options.input ?? '');
  child.endInput();
  const end = await child.wait(options.timeoutMs ?? 30_000);
  return { status: end.code ?? -1, stdout: child.stdout, stderr: child.stderr };
}

export interface End {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the signal, or from the start of the wait, to the end. */
  readonly milliseconds: number;
}

/** A process that runs beside the test. */
export class Background {
  readonly argv: readonly string[];
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  /** Set when the process has ended and its output is complete. */
  end: { code: number | null; signal: NodeJS.Signals | null } | undefined;
  private readonly ended: Promise<void>;
  private readonly onOutput = new Set<() => void>();

  constructor(argv: readonly string[]) {
    this.argv = argv;
    const [program, ...rest] = argv;
    const child = spawn(program!, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    child.stdin.on('error', () => undefined); // a process that ended early takes no more input
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.take('stdout', text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.take('stderr', text));
    const forget = atEnd(() => child.kill('SIGKILL'));
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => this.take('stderr', `${error.message}\n`));
      child.once('close', (code, signal) => {
        forget();
        this.end = { code, signal };
        this.take('stderr', '');
        resolve();
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  write(text: string | Uint8Array): void {
    this.child.stdin?.write(text);
  }

  endInput(): void {
    this.child.stdin?.end();
  }

  /** Waits for the end; a process that outlives the limit is killed and that is an error. */
  async wait(limitMs: number): Promise<End> {
    const start = performance.now();
    let late = false;
    const giveUp = () => {
      if (this.end) return;
      late = true;
      this.child.kill('SIGKILL');
    };
    // An end that came while this thread was busy is heard of only after the timers.
    const timer = setTimeout(() => setImmediate(giveUp), limitMs);
    await this.ended;
    clearTimeout(timer);
    if (late) throw new Error(`still running after ${limitMs} ms:\n${this.describe()}`);
    return { ...this.end!, milliseconds: performance.now() - start };
  }

  /** Asks for the end and waits for it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', limitMs = 5_000): Promise<End> {
    this.child.kill(signal);
    return await this.wait(limitMs);
  }

  /** Resolves when the output (either stream) matches; rejects when it never will. */
  async waitForOutput(pattern: RegExp, limitMs = 10_000): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: Error) => {
        clearTimeout(timer);
        this.onOutput.delete(look);
        if (error) reject(error);
        else resolve();
      };
      const look = () => {
        if (pattern.test(this.stdout) || pattern.test(this.stderr)) finish();
        else if (this.end) finish(new Error(`ended without ${pattern}:\n${this.describe()}`));
      };
      const timer = setTimeout(
        () => finish(new Error(`no ${pattern} in ${limitMs} ms:\n${this.describe()}`)),
        limitMs,
      );
      this.onOutput.add(look);
      look();
    });
  }

  /** Command and output, for the message of a failed test. */
  describe(): string {
    const end = this.end ? `ended with ${this.end.code ?? this.end.signal}` : 'running';
    return `${this.argv.join(' ')} (${end})\n${this.stdout}${this.stderr}`;
  }

  private take(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    for (const look of this.onOutput) look();
  }
}
