import { type ChildProcess, execFile } from 'node:child_process';
import { Patience, STILL_MS } from '../progress/patience.ts';
import { noteProgram } from '../progress/programs.ts';
import { programSigns } from '../progress/signs.ts';
import { shown } from '../untrusted/shown.ts';
import { unicodeEscape } from '../untrusted/text.ts';

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

/** A program that is done within this is not looked at. */
const LOOK_EVERY_MS = 500;
/** A host with a full routing table prints some 100 bytes a route. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/**
 * @param prefix put before every argument list, `['ip', 'netns', 'exec', name]` for one.
 * @param stillMs a program that shows no sign of life for so long is killed
 */
export function commandRunner(prefix: readonly string[] = [], stillMs: number = STILL_MS): Run {
  return (argv, input = '') =>
    new Promise((resolve, reject) => {
      const [file, ...rest] = [...prefix, ...argv];
      const options = {
        maxBuffer: MAX_OUTPUT_BYTES,
        env: { ...process.env, LC_ALL: 'C' },
      } as const;
      const child = execFile(file!, rest, options, (error, stdout, stderr) => {
        release();
        if (error === null) return resolve(stdout);
        const { code } = error;
        const end = typeof code === 'number' ? { code, stderr } : undefined;
        reject(new CommandError(argv, reasonOf(error, stderr, file!), stdout, end));
      });
      const release = endOnceStill(child, file!, stillMs);
      // A program that ends without reading says why by its exit code; EPIPE would say less.
      child.stdin?.on('error', () => {}).end(input);
    });
}

/**
 * Kills a program that stands still; one that gets on takes the time it takes.
 * @returns to be called at its end
 */
function endOnceStill(child: ChildProcess, name: string, stillMs: number): () => void {
  const { pid } = child;
  if (pid === undefined) return () => {};
  const patience = new Patience(stillMs);
  const forget = noteProgram(pid, name);
  const awaited = [{ name, signs: () => programSigns(pid) }];
  const timer = setInterval(() => {
    if (patience.look(performance.now(), awaited).length > 0) child.kill('SIGKILL');
  }, LOOK_EVERY_MS);
  return () => {
    clearInterval(timer);
    forget();
  };
}

function reasonOf(
  error: Error & { code?: unknown; killed?: boolean },
  stderr: string,
  file: string,
): string {
  if (error.code === 'ENOENT') {
    return `no program '${file}' in PATH (Debian: ${file === 'nft' ? 'nftables' : 'iproute2'})`;
  }
  if (error.killed === true) return 'it stood still, without any CPU time, and was ended';
  return stderr.trim().replaceAll('\n', '; ') || error.message;
}

/** Runs `ip -json`; see `jsonRows`. @throws CommandError */
export async function ipJson<Row>(run: Run, args: readonly string[]): Promise<Row[]> {
  const argv = ['ip', '-json', ...args];
  return jsonRows<Row>(argv, await run(argv));
}

/**
 * What a program of iproute2 answered as JSON, which is empty where nothing matched. It writes the
 * alias of a device as somebody else set it, control characters raw, which JSON does not know: they
 * are escaped here, or one alias would hide every device.
 * @throws CommandError where it is no list all the same
 */
export function jsonRows<Row>(argv: readonly string[], text: string): Row[] {
  if (text.trim() === '') return [];
  const rows = readList(text) ?? readList(text.replace(RAW_CONTROLS, unicodeEscape));
  if (rows !== undefined) return rows as Row[];
  throw new CommandError(argv, `its answer is no list in JSON: ${shown(text)}`);
}

function readList(text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** But line feeds, which iproute2 writes between values and escapes in them. */
const RAW_CONTROLS = /[\u0000-\u0009\u000b-\u001f]/g;

/** Whether a failure says that the device it names is not there. */
export function isNoDevice(error: unknown): boolean {
  return (
    error instanceof CommandError &&
    /does not exist|Cannot find device|No such device/.test(error.stderr)
  );
}
