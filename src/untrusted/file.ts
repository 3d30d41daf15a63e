import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { tooLong } from './json.ts';

/**
 * Files that an operator, or another program, names: whole, of bounded size, and never waited for.
 * A pipe would be waited for, a device like /dev/zero never ends, and a file may grow while it is
 * read.
 */

/** A file that cannot be used; `code` is the system's name for it, or `EFILE` for a reason of ours.
 *  The message does not repeat the path. */
export class FileError extends Error {
  override readonly name = 'FileError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Opening a pipe for reading would wait for who writes: open(2), O_NONBLOCK. Before it is opened
 * the path is looked at, since opening some devices does something (watchdog, tape).
 */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** @throws FileError */
export function readFileWithin(path: string, mostBytes: number): Buffer {
  let descriptor: number | undefined;
  try {
    requireRegular(statSync(path), mostBytes);
    descriptor = openSync(path, FLAGS);
    requireRegular(fstatSync(descriptor), mostBytes);
    // One more than may be: a file that grew meanwhile is told by it.
    const bytes = Buffer.alloc(mostBytes + 1);
    let length = 0;
    for (;;) {
      const count = readSync(descriptor, bytes, length, bytes.length - length, null);
      length += count;
      if (length > mostBytes) throw new FileError('EFILE', tooLong(length, mostBytes));
      if (count === 0) return Buffer.from(bytes.subarray(0, length));
    }
  } catch (error) {
    throw explain(error as Error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** The same without holding up the event loop. @throws FileError */
export async function readFileSoon(path: string, mostBytes: number): Promise<Buffer> {
  try {
    requireRegular(await stat(path), mostBytes);
    const file = await open(path, FLAGS);
    try {
      const { size } = requireRegular(await file.stat(), mostBytes);
      const parts: Buffer[] = [];
      let length = 0;
      for (;;) {
        const part = Buffer.alloc(Math.max(size + 1 - length, 64 * 1024));
        const { bytesRead } = await file.read(part, 0, part.length, null);
        length += bytesRead;
        if (length > mostBytes) throw new FileError('EFILE', tooLong(length, mostBytes));
        if (bytesRead === 0) return Buffer.concat(parts, length);
        parts.push(part.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw explain(error as Error);
  }
}

interface Status {
  readonly size: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isFIFO(): boolean;
}

function requireRegular<T extends Status>(status: T, mostBytes: number): T {
  if (status.isDirectory()) throw new FileError('EISDIR', 'is a directory, not a regular file');
  if (!status.isFile()) {
    const what = status.isFIFO() ? 'a pipe' : 'a device or a socket';
    throw new FileError('EFILE', `is ${what}, not a regular file: write it to a file`);
  }
  if (status.size > mostBytes) throw new FileError('EFILE', tooLong(status.size, mostBytes));
  return status;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is none',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  ELOOP: 'its links lead in a circle',
  ENOTDIR: 'a part of its path is no directory',
  ENXIO: 'is a socket, not a regular file: write it to a file',
};

function explain(error: Error): FileError {
  if (error instanceof FileError) return error;
  const { code = 'unknown', message } = error as NodeJS.ErrnoException;
  const reason = REASONS[code];
  return new FileError(code, reason === undefined ? message : `${reason} (${code})`);
}
