import { execFile } from 'node:child_process';

/** A program that did not do what it was asked; `stderr` is the program's own reason. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly argv: readonly string[];
  readonly stderr: string;
  readonly stdout: string;
  /** How the program ended by itself, and its stderr to the byte; undefined if it did not. */
  readonly end: { readonly code: number; readonly stderr: string } | undefined;

  constructor(argv: readonly string[], stderr: string, stdout = '', end?: CommandError['end']) {
    super(`'${argv.join(' ')}' failed: ${stderr}`);
    this.argv = argv;
    this.stderr = stderr;
    this.stdout = stdout;
    this.end = end;
  }
}

/**
 * Runs a program by its argument list, never through a shell; resolves with its stdout. `input` is
 * what it reads on its stdin, which is empty without.
 */
export type Run = (argv: readonly string[], input?: string) => Promise<string>;

/** One netlink request takes milliseconds; more means a lock that will not come free. */
const DEADLINE_MS = 5_000;
/** A host with a full routing table prints some 100 bytes a route. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/**
 * @param prefix put before every argument list, `['ip', 'netns', 'exec', name]` for one.
 */
export function commandRunner(prefix: readonly string[] = []): Run {
  return (argv, input = '') =>
    new Promise((resolve, reject) => {
      const [file, ...rest] = [...prefix, ...argv];
      const options = {
        timeout: DEADLINE_MS,
        killSignal: 'SIGKILL',
        maxBuffer: MAX_OUTPUT_BYTES,
        env: { ...process.env, LC_ALL: 'C' },
      } as const;
      const child = execFile(file!, rest, options, (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const { code } = error;
        const end = typeof code === 'number' ? { code, stderr } : undefined;
        reject(new CommandError(argv, reasonOf(error, stderr, file!), stdout, end));
      });
      // A program that ends without reading says why by its exit code; EPIPE would say less.
      child.stdin?.on('error', () => {}).end(input);
    });
}

function reasonOf(
  error: Error & { code?: unknown; killed?: boolean },
  stderr: string,
  file: string,
): string {
  if (error.code === 'ENOENT') {
    return `no program '${file}' in PATH (Debian: ${file === 'nft' ? 'nftables' : 'iproute2'})`;
  }
  if (error.killed === true) return `no answer within ${DEADLINE_MS / 1000} s`;
  return stderr.trim().replaceAll('\n', '; ') || error.message;
}

/** Runs `ip -json` and parses its answer, which is empty where nothing matched. */
export async function ipJson<Row>(run: Run, args: readonly string[]): Promise<Row[]> {
  const text = await run(['ip', '-json', ...args]);
  return text.trim() === '' ? [] : (JSON.parse(text) as Row[]);
}

/** Whether a failure says that the device it names is not there. */
export function isNoDevice(error: unknown): boolean {
  return (
    error instanceof CommandError &&
    /does not exist|Cannot find device|No such device/.test(error.stderr)
  );
}
