import { compile } from '../forwarding/compile.ts';
import type { Publication } from '../forwarding/publication.ts';
import { publish } from '../forwarding/publication.ts';
import { noRefusals, reachableByUdp } from '../lease/admission.ts';
import type { Lease } from '../lease/lease.ts';
import type { LeaseSource, SourceStatus, StopWatching } from '../lease/source.ts';
import { LeaseWatcher, type Refusal, type WatcherCounts } from '../lease/watcher.ts';
import type { Logger } from '../log.ts';
import type { Prefix4 } from '../wire/address.ts';

/** A burst of events becomes one table; two milliseconds are below what anybody can notice. */
const LEAST_PAUSE_MS = 2;
/** Compiling takes at most a fifth of the main thread, however fast leases change. */
const PAUSE_PER_COMPILE = 4;
/** A reader holds the idle table for a breath; one that hangs must not make us spin. */
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 64;
/** A bad batch of leases is told by its first few, and not at every event. */
const REFUSALS_TOLD = 5;
const REPORT_PAUSE_MS = 1_000;

export interface LeaseTableOptions {
  readonly source: LeaseSource;
  readonly publication: Publication;
  readonly network: Prefix4;
  readonly own: { readonly subnet: Prefix4; readonly publicAddress: number };
  readonly log: Logger;
  /** Called after each publication, with the number of those so far. */
  readonly published: (publications: number) => void;
}

/** Keeps the workers' table equal to what the lease source says. */
export interface LeaseTable {
  readonly publications: number;
  counts(): WatcherCounts;
  status(): SourceStatus;
  /** The leases that are peers now, in no stated order. */
  leases(): readonly Lease[];
  /** What is refused now, at most `limit` of it. */
  refusals(limit: number): readonly Refusal[];
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

export function startLeaseTable(options: LeaseTableOptions): LeaseTable {
  const table = new Publisher(options);
  table.start();
  return table;
}

class Publisher implements LeaseTable {
  publications = 0;
  private readonly options: LeaseTableOptions;
  private readonly watcher: LeaseWatcher;
  private stopWatching: StopWatching | undefined;
  private timer: NodeJS.Timeout | undefined;
  private earliest = 0;
  private retryMs = FIRST_RETRY_MS;
  private leftOut = 0;
  private reporting: NodeJS.Timeout | undefined;
  private told = '';

  constructor(options: LeaseTableOptions) {
    this.options = options;
    const { network, own } = options;
    this.watcher = new LeaseWatcher({ network, own, reachable: reachableByUdp });
  }

  start(): void {
    this.stopWatching = this.options.source.watch({
      // The first list must be published even if it is empty: it makes the node ready.
      snapshot: (entries) => {
        if (this.watcher.snapshot(entries) || this.publications === 0) this.schedule();
        this.reportRefusals();
      },
      changes: (changes) => {
        if (this.watcher.changes(changes)) this.schedule();
        this.reportRefusals();
      },
    });
  }

  counts(): WatcherCounts {
    return this.watcher.counts();
  }

  status(): SourceStatus {
    return this.options.source.status();
  }

  leases(): readonly Lease[] {
    return this.watcher.leases();
  }

  refusals(limit: number): readonly Refusal[] {
    return this.watcher.refusals(limit);
  }

  async stop(): Promise<void> {
    await this.stopWatching?.();
    clearTimeout(this.timer);
    clearTimeout(this.reporting);
  }

  private schedule(pauseMs = this.earliest - performance.now()): void {
    this.timer ??= setTimeout(() => this.publishNow(), Math.max(0, pauseMs));
  }

  private publishNow(): void {
    this.timer = undefined;
    const { publication, own, network } = this.options;
    const start = performance.now();
    let leftOut = 0;
    const done = publish(publication, (table) => {
      leftOut = compile(table, this.watcher.rows(), own.subnet, network);
    });
    if (!done) {
      this.schedule(this.retryMs);
      this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
      return;
    }
    const now = performance.now();
    this.retryMs = FIRST_RETRY_MS;
    this.earliest = now + Math.max(LEAST_PAUSE_MS, (now - start) * PAUSE_PER_COMPILE);
    this.publications += 1;
    this.reportLeftOut(leftOut);
    this.options.published(this.publications);
  }

  /** At most a line a second, and only when the counts are others than told before. */
  private reportRefusals(): void {
    this.reporting ??= setTimeout(() => {
      this.reporting = undefined;
      const refusals = this.watcher
        .refusals(REFUSALS_TOLD)
        .filter((refusal) => refusal.reason !== 'other_backend');
      const { refused } = this.watcher.counts();
      const told = JSON.stringify(refused);
      if (told === this.told) return;
      this.told = told;
      if (refusals.length > 0) this.options.log.warn({ refused, refusals }, 'leases refused');
    }, REPORT_PAUSE_MS);
  }

  private reportLeftOut(leftOut: number): void {
    if (leftOut > 0 && leftOut !== this.leftOut) {
      this.options.log.error(
        { leases: this.watcher.counts().peers, leftOut },
        'more leases than the table holds: the rest is unreachable',
      );
    }
    this.leftOut = leftOut;
  }
}
