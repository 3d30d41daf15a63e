import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import { escapeJson, escapeStringsIn } from './untrusted/text.ts';

export type { Logger };

export type LogFormat = 'auto' | 'json' | 'pretty';

export interface LogOptions {
  readonly level: string;
  readonly format: LogFormat;
  /** Descriptor that lines go to; 1 where nothing else is said. */
  readonly descriptor?: number;
}

export interface Log {
  readonly log: Logger;
  /** Lines that could not be written: full disk, closed pipe. */
  writeErrors(): number;
}

/** `prettyFactory` is exported by the package but missing from its types. */
type Prettify = (line: string) => string | undefined;
const { prettyFactory } = pretty as unknown as {
  prettyFactory(options: object): Prettify;
};

/** A reader of a pipe that takes nothing for so long has stalled; a busy one is waited for. */
const PATIENCE_MS = 500;
const LOOK_EVERY_MS = 10;

/**
 * The program's log: JSON lines, or readable ones on a terminal. Writing is synchronous, so nothing
 * is lost at the end and nothing queues up; a line that cannot be written is dropped and counted,
 * for a full disk under the log, or a pipe that nobody empties, must never stop packets.
 */
export function createLog(options: LogOptions, write: typeof writeSync = writeSync): Log {
  const descriptor = options.descriptor ?? 1;
  const readable =
    options.format === 'pretty' || (options.format === 'auto' && process.stdout.isTTY === true);
  const shown = readable ? readableLines() : escapeJson;
  const sink = new CountingSink(descriptor, write);
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => sink.write(shown(line)) },
  );
  return { log, writeErrors: () => sink.errors };
}

/** What pino-pretty takes out of the JSON of a line goes to the terminal as it is. */
function readableLines(): (line: string) => string {
  const colorize = process.stdout.isTTY === true && !process.env.NO_COLOR;
  const prettify = prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l', ignore: 'room' });
  return (line) => {
    const safe = escapeStringsIn(line);
    return prettify(safe) ?? safe;
  };
}

class CountingSink {
  errors = 0;
  private torn = false;
  /** The pipe was full for as long as we wait: until it takes something we wait no more. */
  private stalled = false;
  private readonly descriptor: number;
  private readonly writeSync: typeof writeSync;

  constructor(descriptor: number, write: typeof writeSync) {
    this.descriptor = openWithoutWait(descriptor);
    this.writeSync = write;
  }

  write(line: string): void {
    // A disk that fills up takes half a line; the next whole one starts on a line of its own.
    const bytes = Buffer.from(this.torn ? `\n${line}` : line);
    let done = 0;
    try {
      while (done < bytes.length) done += this.writeSome(bytes, done);
      this.torn = false;
    } catch {
      this.errors += 1;
      this.torn ||= done > 0;
    }
  }

  private writeSome(bytes: Buffer, from: number): number {
    const began = performance.now();
    for (;;) {
      try {
        const count = this.writeSync(this.descriptor, bytes, from);
        this.stalled = false;
        return count;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        this.stalled ||= performance.now() - began >= PATIENCE_MS;
        if (this.stalled) throw error;
        Atomics.wait(NEVER, 0, 0, LOOK_EVERY_MS);
      }
    }
  }
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

/**
 * A pipe opened once more, so that a write to it never waits (pipe(7)); O_NONBLOCK on what we were
 * given would be set for everybody who shares it. All else, and a pipe that we may not open, is
 * used as it is.
 */
function openWithoutWait(descriptor: number): number {
  try {
    if (!fstatSync(descriptor).isFIFO()) return descriptor;
    return openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return descriptor;
  }
}
