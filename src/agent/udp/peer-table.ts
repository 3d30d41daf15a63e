import type { Accounts } from '../../dataplane/accounts.ts';
import { compile, suspend } from '../../forwarding/compile.ts';
import type { Publication } from '../../forwarding/publication.ts';
import { publish } from '../../forwarding/publication.ts';
import type { PeerRow } from '../../lease/watcher.ts';
import type { Logger } from '../../log.ts';
import type { Prefix4 } from '../../wire/address.ts';

/** A reader holds the idle table for a breath; one that hangs must not make us spin. */
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 64;

export interface PeerTableOptions {
  readonly publication: Publication;
  readonly accounts: Accounts;
  readonly network: Prefix4;
  readonly subnet: Prefix4;
  readonly log: Logger;
  /** Called after each publication, with the number of those so far. */
  readonly published: (publications: number) => void;
}

/** Keeps the workers' table equal to the rows set last. */
export class PeerTable {
  publications = 0;
  private readonly options: PeerTableOptions;
  private rows: readonly PeerRow[] = [];
  private timer: NodeJS.Timeout | undefined;
  private retryMs = FIRST_RETRY_MS;
  private leftOut = 0;
  private suspended = false;

  constructor(options: PeerTableOptions) {
    this.options = options;
  }

  /**
   * Publishes at once, or as soon as no reader is in the way.
   * @param suspended nothing may pass, whatever the rows
   */
  set(rows: readonly PeerRow[], suspended = false): void {
    this.rows = rows;
    this.suspended = suspended;
    if (this.timer === undefined) this.publishNow();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private publishNow(): void {
    this.timer = undefined;
    const { publication, accounts, subnet, network } = this.options;
    let leftOut = 0;
    const done = publish(publication, (table) => {
      accounts.begin();
      const rows = this.suspended ? [] : this.rows;
      leftOut = compile(table, rows, subnet, network, accounts.accountOf);
      if (this.suspended) suspend(table);
    });
    if (!done) {
      this.timer = setTimeout(() => this.publishNow(), this.retryMs);
      this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
      return;
    }
    this.retryMs = FIRST_RETRY_MS;
    this.publications += 1;
    this.reportLeftOut(leftOut);
    this.options.published(this.publications);
  }

  private reportLeftOut(leftOut: number): void {
    if (leftOut > 0 && leftOut !== this.leftOut) {
      this.options.log.error(
        { leases: this.rows.length, leftOut },
        'more leases than the table holds: the rest is unreachable',
      );
    }
    this.leftOut = leftOut;
  }
}
