import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import type { Logger } from '../log.ts';
import { noteProgram } from '../progress/programs.ts';

/** A storm of routing changes must cost a look every half second at most. */
const QUIET_MS = 500;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;

export interface Monitor {
  /** Resolves when the child is gone. */
  stop(): Promise<void>;
}

export interface MonitorOptions {
  /** Called soon after something changed, and after every restart. */
  readonly changed: () => void;
  /** Told each time the child ended by itself; it is started again after a growing pause. */
  readonly log: Pick<Logger, 'warn'>;
  /** Put before the program: `ip netns exec NAME`. */
  readonly prefix?: readonly string[] | undefined;
  /** What to run in place of `ip monitor` for links, addresses and routes; it never ends. */
  readonly argv?: readonly string[];
  /** Only lines with this text in them, or that pass this test, count. */
  readonly about?: string | ((line: string) => boolean);
}

const IP_MONITOR: readonly string[] = ['ip', '-o', 'monitor', 'link', 'address', 'route'];
/** No line of a monitor is longer; the start of one that is would be dropped. */
const MAX_LINE_BYTES = 64 * 1024;

/**
 * Has the kernel kill a program once the thread that started it is gone (setpriv(1), prctl(2)
 * PR_SET_PDEATHSIG): a weft that is killed cannot. Without it the child ends at its next line, by
 * SIGPIPE.
 */
const TIED: readonly string[] = ['setpriv', '--pdeathsig', 'KILL', '--'];
/** Only that it is not for ever: a trial that was cut says nothing, and setpriv is everywhere. */
const TRIAL_MS = 10_000;
/** How setpriv, like a shell, says that there is none of that name. */
const NO_PROGRAM = 127;
let tie: readonly string[] | undefined;

/** What is put before a program so that it ends with us; nothing where there is no such setpriv. */
function tieToUs(): readonly string[] {
  if (tie === undefined) {
    const [file, ...rest] = [...TIED, 'true'];
    const options = { stdio: 'ignore', timeout: TRIAL_MS } as const;
    const { status, signal } = spawnSync(file!, rest, options);
    if (signal !== null) return TIED;
    tie = status === 0 ? TIED : [];
  }
  return tie;
}

/**
 * Watches the kernel through a long-running program, `ip monitor` unless told otherwise. Its lines
 * are only a wake-up: who is woken asks the kernel for the whole state, so that nothing hangs on
 * their format.
 */
export function startMonitor(options: MonitorOptions): Monitor {
  const watch = new ChildWatch(options);
  watch.start();
  return { stop: () => watch.stop() };
}

class ChildWatch {
  private readonly options: MonitorOptions;
  private child: ChildProcess | undefined;
  private retryMs = FIRST_RETRY_MS;
  private retry: NodeJS.Timeout | undefined;
  private quiet: NodeJS.Timeout | undefined;
  private missed = false;
  private stopped = false;

  constructor(options: MonitorOptions) {
    this.options = options;
  }

  start(): void {
    const { prefix = [], argv = IP_MONITOR } = this.options;
    const [file, ...rest] = [...tieToUs(), ...prefix, ...argv];
    const child = spawn(file!, rest, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.child = child;
    let unfinished = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.retryMs = FIRST_RETRY_MS;
      const lines = unfinished + text;
      unfinished = lines.slice(lines.lastIndexOf('\n') + 1).slice(-MAX_LINE_BYTES);
      if (this.concerns(lines)) this.wake();
    });
    child.once('error', (error) => this.ended(error.message));
    child.once('exit', (code, signal) => {
      const missing = code === NO_PROGRAM ? `: is ${argv[0]} in PATH?` : '';
      this.ended(`ended with ${signal ?? `code ${code}`}${missing}`);
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.retry);
    clearTimeout(this.quiet);
    const { child } = this;
    this.child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = new Promise((resolve) => child.once('exit', resolve));
    const forget = noteProgram(child.pid, this.options.argv?.[0] ?? IP_MONITOR[0]!);
    child.kill('SIGKILL');
    await exit;
    forget();
  }

  private concerns(lines: string): boolean {
    const { about } = this.options;
    if (typeof about === 'function') return lines.split('\n').some(about);
    return about === undefined || lines.includes(about);
  }

  /** The first change is told at once, what follows within the quiet time is told at its end. */
  private wake(): void {
    if (this.stopped) return;
    if (this.quiet !== undefined) {
      this.missed = true;
      return;
    }
    this.quiet = setTimeout(() => {
      this.quiet = undefined;
      if (!this.missed) return;
      this.missed = false;
      this.wake();
    }, QUIET_MS);
    this.options.changed();
  }

  private ended(reason: string): void {
    // A failed spawn tells both 'error' and 'exit' on some versions; one retry is enough.
    if (this.stopped || this.child === undefined) return;
    this.child = undefined;
    const { log, argv = IP_MONITOR } = this.options;
    log.warn(`'${argv[0]} monitor' ${reason}; starting it again`);
    this.retry = setTimeout(() => {
      this.start();
      this.wake();
    }, this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
  }
}
