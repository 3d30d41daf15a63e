import { type AdmissionRules, noRefusals, type RefusalReason } from '../lease/admission.ts';
import type { Lease } from '../lease/lease.ts';
import type { LeaseSource, SourceStatus, StopWatching } from '../lease/source.ts';
import {
  LeaseWatcher,
  type OwnStanding,
  type PeerRow,
  type Refusal,
  type WatcherCounts,
} from '../lease/watcher.ts';
import type { Logger } from '../log.ts';
import type { Readiness } from './readiness.ts';

/** A burst of events becomes one change; two milliseconds are below what anybody can notice. */
const LEAST_PAUSE_MS = 2;
/**
 * Following the leases takes at most a fifth of the main thread, however fast they change. One
 * change that takes long, as the first does, does not hold up the next; a second one does.
 */
const PAUSE_PER_CHANGE = 4;
/** A bad batch of leases is told by its first few, and not at every event. */
const REFUSALS_TOLD = 5;
const REPORT_PAUSE_MS = 1_000;

export interface PeersOptions {
  readonly source: LeaseSource;
  readonly rules: AdmissionRules;
  readonly log: Logger;
  /**
   * The peers are others than at the last call; called for the first list too, even an empty one,
   * and never before it. How long calls take sets the pause before the next.
   * @param changes since the last call, at the first one since there were none: each subnet once
   */
  readonly changed: (peers: Peers, changes: readonly PeerRow[]) => void;
  /** Whose the own subnet is: told with the first list, and whenever it is another's since. */
  readonly standing?: (standing: OwnStanding) => void;
  /** What is refused is something else than before; at most once a second. */
  readonly refused?: (peers: Peers) => void;
}

/** The nodes that can be reached now, as the lease source tells them. */
export interface Peers {
  /** Judges all leases anew: our own was acquired, moved or lost. */
  configure(rules: AdmissionRules): void;
  leases(): Lease[];
  rows(): PeerRow[];
  /** What is refused now, at most `limit` of it; of some reasons only, where they are asked for. */
  refusals(limit: number, counts?: (reason: RefusalReason) => boolean): Refusal[];
  counts(): WatcherCounts;
  status(): SourceStatus;
  stop(): Promise<void>;
}

/** Before there is a source: all at zero, so that every metric exists from the start. */
export const NO_COUNTS: WatcherCounts = {
  peers: 0,
  refused: noRefusals(),
  events: { put: 0, delete: 0, snapshot: 0, ignored: 0 },
};

export const NO_STATUS: SourceStatus = {
  state: 'connecting',
  reason: 'not started',
  lastSyncSeconds: 0,
  resyncs: 0,
  failures: 0,
};

/** The first list is in force: says so, once. */
export function tellReady(
  readiness: Pick<Readiness, 'clear'>,
  log: Pick<Logger, 'info'>,
  { peers }: Pick<WatcherCounts, 'peers'>,
): void {
  if (!readiness.clear('leases')) return;
  log.info({ peers }, `ready: ${peers} peer${peers === 1 ? '' : 's'}`);
}

export function watchPeers(options: PeersOptions): Peers {
  const follower = new Follower(options);
  follower.start();
  return follower;
}

class Follower implements Peers {
  private readonly options: PeersOptions;
  private readonly watcher: LeaseWatcher;
  private stopWatching: StopWatching | undefined;
  private listed = false;
  private cancel: (() => void) | undefined;
  private earliest = 0;
  private lastMs = 0;
  private reporting: NodeJS.Timeout | undefined;
  private told = '';
  private stood = '';

  constructor(options: PeersOptions) {
    this.options = options;
    this.watcher = new LeaseWatcher(options.rules);
  }

  start(): void {
    this.stopWatching = this.options.source.watch({
      snapshot: (entries) => {
        const changed = this.watcher.snapshot(entries);
        if (changed || !this.listed) this.schedule();
        this.listed = true;
        this.tellStanding();
        this.reportRefusals();
      },
      changes: (changes) => {
        if (this.watcher.changes(changes)) this.schedule();
        this.tellStanding();
        this.reportRefusals();
      },
    });
  }

  configure(rules: AdmissionRules): void {
    if (this.watcher.configure(rules) && this.listed) this.schedule();
    if (!this.listed) return;
    this.tellStanding();
    this.reportRefusals();
  }

  leases(): Lease[] {
    return this.watcher.leases();
  }

  rows(): PeerRow[] {
    return this.watcher.rows();
  }

  refusals(limit: number, counts?: (reason: RefusalReason) => boolean): Refusal[] {
    return this.watcher.refusals(limit, counts);
  }

  counts(): WatcherCounts {
    return this.watcher.counts();
  }

  status(): SourceStatus {
    return this.options.source.status();
  }

  async stop(): Promise<void> {
    await this.stopWatching?.();
    this.cancel?.();
    clearTimeout(this.reporting);
  }

  /** Soon: with all that came in the same turn of the event loop, or in the pause. */
  private schedule(): void {
    if (this.cancel !== undefined) return;
    const pauseMs = this.earliest - performance.now();
    if (pauseMs > 0) {
      const timer = setTimeout(() => this.tell(), pauseMs);
      this.cancel = () => clearTimeout(timer);
    } else {
      const immediate = setImmediate(() => this.tell());
      this.cancel = () => clearImmediate(immediate);
    }
  }

  private tell(): void {
    this.cancel = undefined;
    const start = performance.now();
    this.options.changed(this, this.watcher.takeChanges());
    const now = performance.now();
    const tookMs = Math.min(now - start, this.lastMs);
    this.lastMs = now - start;
    this.earliest = now + Math.max(LEAST_PAUSE_MS, tookMs * PAUSE_PER_CHANGE);
  }

  private tellStanding(): void {
    const standing = this.watcher.standing();
    const text = JSON.stringify(standing);
    if (text === this.stood) return;
    this.stood = text;
    this.options.standing?.(standing);
  }

  /** At most a line a second, and only when the counts are others than told before. */
  private reportRefusals(): void {
    this.reporting ??= setTimeout(() => {
      this.reporting = undefined;
      const { refused } = this.watcher.counts();
      const told = JSON.stringify(refused);
      if (told === this.told) return;
      this.told = told;
      // Looked for only now: it goes through all leases where few are refused.
      const refusals = this.refusals(REFUSALS_TOLD, (reason) => reason !== 'other_backend');
      this.options.refused?.(this);
      if (refusals.length > 0) this.options.log.warn({ refused, refusals }, 'leases refused');
    }, REPORT_PAUSE_MS);
  }
}
