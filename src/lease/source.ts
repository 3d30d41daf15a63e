import type { Logger } from 'pino';
import type { NetworkReading } from './network.ts';

/**
 * Where leases come from: etcd, a file, later Kubernetes. The contract:
 *
 * - A source tells what *is there*, raw: keys relative to the lease folder and values as text. It
 *   judges nothing; `watcher.ts` decides what may be used, so all sources refuse alike. Only a file
 *   in which nothing at all is a lease is no list of leases, and treated as what cannot be read.
 * - After `watch` the sink first hears `snapshot` (everything at one moment) and then `changes`
 *   (what happened since, in order, one call a batch). A source that lost the thread delivers a
 *   new `snapshot`, at any time; what is missing from it is gone. A source that only knows whole
 *   lists (a file) delivers nothing but snapshots.
 * - Nothing is ever delivered before the first snapshot, between `stop()` and for ever, or from
 *   inside `watch` itself: the sink is called from a later turn of the event loop.
 * - Trouble is a state, never an exception: `connecting` until the first snapshot, `synced` while
 *   what was delivered is current, `stale` while it may be old. Entries are never withdrawn
 *   because the source is in trouble: forwarding goes on with the last word.
 * - A source retries for ever with bounded back-off, and logs one line when a trouble begins and
 *   one when it ends. It never ends the process.
 * - A sink that throws is a mistake of ours and does end the process.
 *
 * Only the *creation* of a source throws (`SourceOptionsError`), for options that cannot work.
 */
export interface LeaseSource {
  /** For logs and the status page, without secrets: `etcd http://10.0.0.1:2379 /prefix`. */
  readonly name: string;
  /** Starts delivery to the one sink there may be; the result ends it and frees what it held. */
  watch(sink: LeaseSink): StopWatching;
  /** Reads the network config once, bounded in time. Absent where the source has none (a file). */
  config?(): Promise<NetworkReading>;
  /** The present state, for metrics and readiness. */
  status(): SourceStatus;
  /** Every node's lease lies here, its reader's too: gone is lost. A file may be without. */
  readonly whole: boolean;
}

/** Resolves when connections, watches and timers of the source are gone. */
export type StopWatching = () => Promise<void>;

export interface LeaseSink {
  snapshot(entries: readonly LeaseEntry[]): void;
  changes(changes: readonly LeaseChange[]): void;
  /** Called on each change of state; `reason` says why in words for an operator. */
  state?(state: SourceState, reason: string): void;
}

/**
 * One lease as it lies in the source. `order` ranks entries in time (etcd's mod revision, the place
 * in the file): of two entries for one subnet the greater wins.
 */
export interface LeaseEntry {
  readonly key: string;
  readonly value: string;
  readonly order: number;
  /** Why the value is not handed over: too long, say; `value` is then empty. */
  readonly fault?: string;
}

export type LeaseChange =
  | { readonly kind: 'put'; readonly entry: LeaseEntry }
  | { readonly kind: 'delete'; readonly key: string };

export const SOURCE_STATES = ['connecting', 'synced', 'stale'] as const;
export type SourceState = (typeof SOURCE_STATES)[number];

export interface SourceStatus {
  readonly state: SourceState;
  /** What the trouble is, or the empty string while `synced`. */
  readonly reason: string;
  /** Unix time in seconds at which the entries were last known to be current; 0 if never. */
  readonly lastSyncSeconds: number;
  /** Snapshots delivered after the first: how often the thread was lost (a file: was changed). */
  readonly resyncs: number;
  /** Failed tries to read or to keep the line. */
  readonly failures: number;
}

/** Options that cannot work, found when a source is created; lists every fault at once. */
export class SourceOptionsError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('; '));
    this.name = 'SourceOptionsError';
    this.faults = faults;
  }
}

/**
 * The state of one source, and its log lines: one when a trouble begins, one for each new kind of
 * it until it ends, one when it ends. However often a try fails in between, the log stays quiet.
 */
export class SourceStanding {
  readonly #name: string;
  readonly #log: Logger;
  #sink: LeaseSink | null = null;
  #state: SourceState = 'connecting';
  #reason = 'nothing read yet';
  #lastSync = 0;
  #snapshots = 0;
  #failures = 0;
  #troubled = false;
  readonly #logged = new Set<string>();

  constructor(name: string, log: Logger) {
    this.#name = name;
    this.#log = log;
  }

  /** From now on the sink hears of changes of state; null ends that. */
  tell(sink: LeaseSink | null): void {
    this.#sink = sink;
  }

  /** A snapshot was delivered. */
  delivered(): void {
    this.#snapshots += 1;
  }

  /** What was delivered is current, and stays so until a failure is told. */
  synced(leases: number): void {
    const news = this.#lastSync === 0 || this.#troubled;
    this.#lastSync = Date.now() / 1000;
    this.#troubled = false;
    this.#logged.clear();
    this.#become('synced', '');
    if (news) this.#log.info({ source: this.#name, leases }, 'leases are in');
  }

  /** A try failed; `kind` tells one trouble from another and `reason` explains it. */
  failed(kind: string, reason: string): void {
    this.#failures += 1;
    this.#troubled = true;
    if (this.#state === 'synced') this.#lastSync = Date.now() / 1000;
    this.#become(this.#snapshots === 0 ? 'connecting' : 'stale', reason);
    if (this.#logged.has(kind)) return;
    this.#logged.add(kind);
    const consequence =
      this.#snapshots === 0
        ? 'no leases yet; trying on quietly'
        : 'forwarding goes on with the leases known; trying on quietly';
    this.#log.warn({ source: this.#name, reason }, consequence);
  }

  /** What is looked at is not what it was, so a trouble with it is news again. */
  renewed(): void {
    this.#logged.clear();
  }

  status(): SourceStatus {
    return {
      state: this.#state,
      reason: this.#reason,
      lastSyncSeconds: this.#state === 'synced' ? Date.now() / 1000 : this.#lastSync,
      resyncs: Math.max(0, this.#snapshots - 1),
      failures: this.#failures,
    };
  }

  #become(state: SourceState, reason: string): void {
    const news = state !== this.#state || reason !== this.#reason;
    this.#state = state;
    this.#reason = reason;
    if (news) this.#sink?.state?.(state, reason);
  }
}
