/**
 * The one door to standard output and standard error: whatever leaves by it has no control
 * character but our own colours, whoever wrote it. The tidy test keeps every other way closed.
 */
import { writeSync } from 'node:fs';
import { toShownJson } from '../../untrusted/text.ts';
import { REFRESH, toTerminal } from './terminal.ts';

/** Standard output cannot be written to; nobody's mistake, and nothing that weft could cure. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file may not grow further (ulimit -f)',
  EIO: 'the terminal is gone, or the disk fails',
  EBADF: 'it is not open for writing',
};

/** A failed write in words. */
export function whyNotWritten({ code = '', message }: NodeJS.ErrnoException): string {
  const reason = REASONS[code];
  return reason === undefined ? message : `${reason} (${code})`;
}

/**
 * Writes lines to stdout and waits until they are taken: the process ends by process.exit, which
 * would cut off what a slow reader has not taken yet.
 * @returns whether somebody still reads: `weft peers | head` is none of our business
 * @throws OutputError
 */
export function print(lines: readonly string[], most?: number): Promise<boolean> {
  return write(lines.map((line) => `${toTerminal(line, most)}\n`).join(''));
}

/** The same in place of what the terminal showed before. */
export function printInPlace(lines: readonly string[]): Promise<boolean> {
  return write(REFRESH + lines.map((line) => `${toTerminal(line)}\n`).join(''));
}

/** A text of the program's own, such as help or a script: as long as it is. */
export function printText(text: string): Promise<boolean> {
  return print(text.replace(/\n$/, '').split('\n'), Number.POSITIVE_INFINITY);
}

/** A value as JSON, on one line or indented. */
export function printJson(value: unknown, indent?: number): Promise<boolean> {
  return write(`${toShownJson(value, indent)}\n`);
}

/** Bytes that are no text: a capture. */
export function printBytes(bytes: Uint8Array): Promise<boolean> {
  return write(bytes);
}

/** Whether stdout is a terminal that a person looks at. */
export const isTerminal = (): boolean => process.stdout.isTTY === true;

let listening = false;
let failure: NodeJS.ErrnoException | undefined;

function write(data: string | Uint8Array): Promise<boolean> {
  const { stdout } = process;
  if (!listening) {
    listening = true;
    // Told to the writer below; without a listener it would end the process.
    stdout.on('error', (error) => {
      failure ??= error;
    });
  }
  return new Promise((resolve, reject) => {
    const settle = (error: NodeJS.ErrnoException | null | undefined) => {
      if (!error) return resolve(true);
      // A stream that failed before says only that it is destroyed.
      const first = failure ?? error;
      if (first.code === 'EPIPE') resolve(false);
      else reject(new OutputError(`standard output: ${whyNotWritten(first)}`));
    };
    stdout.write(data, settle);
  });
}

/** A line for whoever started us, on stderr. */
export function tell(line: string): void {
  tellText(`weft: ${toTerminal(line)}\n`);
}

/** A text of the program's own on stderr, which may be closed or full: nobody is left to tell. */
export function tellText(text: string): void {
  try {
    writeSync(2, text);
  } catch {}
}
