import { createHash } from 'node:crypto';
import { type FSWatcher, statSync, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { FileError, readFileSoon } from '../untrusted/file.ts';
import { compact, LIMITS, type Parsed, splitObject } from '../untrusted/json.ts';
import { quoted } from '../untrusted/shown.ts';
import { entryOf } from './entry.ts';
import { parseLeaseValue, parseSubnetKey } from './lease.ts';
import type { LeaseEntry, LeaseSink, LeaseSource, SourceStatus, StopWatching } from './source.ts';
import { SourceStanding } from './source.ts';

export interface FileSourceOptions {
  /** A JSON object from flannel's subnet key to flannel's lease value. */
  readonly path: string;
  readonly log: Logger;
  /** Milliseconds between two looks when nothing has called for one. */
  readonly poll?: number | undefined;
  /** Milliseconds after which a file that made no sense is looked at again, and believed. */
  readonly doubt?: number | undefined;
}

/** Between two looks at the clock, of a file whose change nobody told us of. */
const POLL_MS = 1000;
/** From the first sign of a change to the look at it: a writer in place is then mostly done. */
const SETTLE_MS = 10;
/** A file that makes no sense may be half written; this long after, it makes no sense for good. */
const DOUBT_MS = 250;

/**
 * Leases from a file that is re-read when it changes: written in place, renamed into place, or
 * reached by a link that now leads elsewhere, as in a mounted ConfigMap. A version that cannot be
 * read, is no JSON object, or has entries of which none is a lease, changes nothing and is reported
 * once. An object without entries is a list of no nodes.
 */
export function createFileSource(options: FileSourceOptions): LeaseSource {
  return new FileSource(options);
}

class FileSource implements LeaseSource {
  readonly name: string;
  readonly whole = false;
  readonly #options: FileSourceOptions;
  readonly #standing: SourceStanding;

  constructor(options: FileSourceOptions) {
    this.name = `file ${options.path}`;
    this.#options = options;
    this.#standing = new SourceStanding(this.name, options.log);
  }

  watch(sink: LeaseSink): StopWatching {
    this.#standing.tell(sink);
    const lookout = new Lookout(this.#options, this.#standing, sink);
    const ended = lookout.run();
    return async () => {
      this.#standing.tell(null);
      lookout.stop();
      await ended;
    };
  }

  status(): SourceStatus {
    return this.#standing.status();
  }
}

/** Looks at the file whenever something stirs in its folder, and now and then anyway. */
class Lookout {
  readonly #path: string;
  readonly #poll: number;
  readonly #doubt: number;
  readonly #standing: SourceStanding;
  readonly #sink: LeaseSink;
  readonly #folder: FolderWatch;
  #stopped = false;
  #stirred = false;
  #wake: () => void = () => undefined;
  /** The version last dealt with, and one that made no sense at the first look. */
  #settled = '';
  #doubted = '';
  /** Digest of the text last delivered. */
  #delivered = '';

  constructor(options: FileSourceOptions, standing: SourceStanding, sink: LeaseSink) {
    this.#path = options.path;
    this.#poll = options.poll ?? POLL_MS;
    this.#doubt = options.doubt ?? DOUBT_MS;
    this.#standing = standing;
    this.#sink = sink;
    this.#folder = new FolderWatch(dirname(options.path), () => {
      this.#stirred = true;
      this.#wake();
    });
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#folder.renew();
      this.#stirred = false;
      const sure = await this.#look();
      if (!this.#stirred) await this.#rest(sure ? this.#poll : this.#doubt);
      // At most a hundred looks a second, however much stirs in the folder.
      if (this.#stirred) await setTimeout(SETTLE_MS);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#folder.close();
    this.#wake();
  }

  /** Reads the file if it is not the one last dealt with. False if it has to be looked at again. */
  async #look(): Promise<boolean> {
    const version = await versionOf(this.#path);
    if (version === this.#settled) return true;
    const found = await readLeases(this.#path);
    if (this.#stopped) return true;
    if ('fault' in found && version !== this.#doubted) {
      this.#doubted = version;
      return false;
    }
    this.#settled = version;
    if ('fault' in found) {
      this.#standing.renewed();
      this.#standing.failed(found.fault, found.fault);
      return true;
    }
    if (found.digest !== this.#delivered) {
      this.#sink.snapshot(found.entries);
      this.#standing.delivered();
      this.#delivered = found.digest;
    }
    this.#standing.synced(found.entries.length);
    return true;
  }

  #rest(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = globalThis.setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#stopped) this.#wake();
    });
  }
}

/** Hears of changes in a folder, also after the folder itself was replaced. */
class FolderWatch {
  readonly #path: string;
  readonly #stirred: () => void;
  #watched = '';
  #watcher: FSWatcher | null = null;

  constructor(path: string, stirred: () => void) {
    this.#path = path;
    this.#stirred = stirred;
  }

  /** Watches the folder that is there now. Where that cannot be, the poll has to do. */
  renew(): void {
    try {
      const { dev, ino } = statSync(this.#path);
      if (this.#watched === `${dev}:${ino}`) return;
      this.close();
      this.#watcher = watch(this.#path, this.#stirred);
      this.#watcher.on('error', () => this.close());
      this.#watched = `${dev}:${ino}`;
    } catch {
      this.close();
    }
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = null;
    this.#watched = '';
  }
}

/** Changes whenever the file, or what a link leads to, may hold something else. */
async function versionOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(':');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

export type LeaseList =
  | { readonly entries: readonly LeaseEntry[]; readonly repeated: readonly string[] }
  | { readonly fault: string };

type Found = { entries: readonly LeaseEntry[]; digest: string } | { fault: string };

async function readLeases(path: string): Promise<Found> {
  let bytes: Buffer;
  try {
    bytes = await readFileSoon(path, LIMITS.leaseFile.bytes);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return { fault: `${path} cannot be read: ${error.message}` };
  }
  const list = readLeaseList(bytes);
  if ('fault' in list) return { fault: `${path} is ${list.fault}` };
  const { entries } = list;
  const digest = createHash('sha256').update(bytes).digest('hex');
  const fault = entries.length === 0 ? '' : whyNoLease(entries);
  return fault === '' ? { entries, digest } : { fault: `${path} ${fault}` };
}

/** The entries of a lease file, the last of each key, and keys that stand there more than once. */
export function readLeaseList(bytes: Buffer): LeaseList {
  const members = splitObject(bytes.toString(), LIMITS.leaseFile);
  if (!members.ok) return { fault: members.reason };
  const entries = new Map<string, LeaseEntry>();
  const repeated = new Set<string>();
  for (const [order, { name, text }] of members.value.entries()) {
    const entry = entryOf(Buffer.from(name), Buffer.from(compact(text)), order);
    if (entries.delete(entry.key)) repeated.add(entry.key);
    entries.set(entry.key, entry);
  }
  return { entries: [...entries.values()], repeated: [...repeated] };
}

/** Why not one entry is a lease; empty if one is. One mistake in a list is not a mistaken list. */
function whyNoLease(entries: readonly LeaseEntry[]): string {
  let first = '';
  for (const entry of entries) {
    const [fault] = faultsOf(entry);
    if (fault === undefined) return '';
    if (first === '') first = `${quoted(entry.key)}: ${fault}`;
  }
  const count =
    entries.length === 1 ? 'one entry, which' : `${entries.length} entries, of which none`;
  const verb = entries.length === 1 ? 'is no lease' : 'is a lease';
  return `has ${count} ${verb} (${first}); for a list of no nodes write {}`;
}

/** Everything that keeps an entry from being a lease. */
export function faultsOf({ key, value, fault }: LeaseEntry): string[] {
  const read: Parsed<unknown> =
    fault === undefined ? parseLeaseValue(value) : { ok: false, reason: fault };
  return [parseSubnetKey(key), read].flatMap((part) => (part.ok ? [] : [part.reason]));
}
