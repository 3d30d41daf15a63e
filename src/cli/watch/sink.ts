import { type FileHandle, open } from 'node:fs/promises';
import { OutputError, printBytes, whyNotWritten } from '../format/print.ts';

/** Where whole blocks of a capture go. */
export interface Sink {
  readonly name: string;
  /**
   * Resolves when the bytes are taken, to whether somebody still wants more. What was written
   * before stays good when this fails. @throws OutputError
   */
  write(bytes: Uint8Array): Promise<boolean>;
  /** @throws OutputError: some file systems say only now that there was no room */
  close(): Promise<void>;
}

/** What packets carry is nobody else's business. */
const FILE_MODE = 0o600;

/** Standard output, which may be a pipe whose reader has seen enough. */
export const STDOUT_SINK: Sink = {
  name: 'standard output',
  write: printBytes,
  close: async () => {},
};

/** A file, replaced if it is there. @throws OutputError */
export async function openFile(path: string): Promise<Sink> {
  try {
    return new FileSink(path, await open(path, 'w', FILE_MODE));
  } catch (error) {
    throw failed(path, error);
  }
}

class FileSink implements Sink {
  readonly name: string;
  private readonly handle: FileHandle;
  /** Bytes of whole blocks. */
  private whole = 0;

  constructor(path: string, handle: FileHandle) {
    this.name = path;
    this.handle = handle;
  }

  async write(bytes: Uint8Array): Promise<boolean> {
    let done = 0;
    try {
      while (done < bytes.length) {
        done += (await this.handle.write(bytes, done)).bytesWritten;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') return false;
      // Half a block would make readers refuse the file's end; a pipe cannot be cut.
      this.whole += wholeBlocks(bytes, done);
      await this.handle.truncate(this.whole).catch(() => {});
      throw failed(this.name, error);
    }
    this.whole += bytes.length;
    return true;
  }

  async close(): Promise<void> {
    try {
      await this.handle.close();
    } catch (error) {
      throw failed(this.name, error);
    }
  }
}

/** Bytes of whole blocks among those written; a block tells its length after its type. */
function wholeBlocks(bytes: Uint8Array, written: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  while (at + 8 <= written) {
    const next = at + Math.max(8, view.getUint32(at + 4, true));
    if (next > written) break;
    at = next;
  }
  return at;
}

function failed(path: string, error: unknown): OutputError {
  return new OutputError(`${path}: ${whyNotWritten(error as NodeJS.ErrnoException)}`);
}
