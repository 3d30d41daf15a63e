import type { Accounts } from '../../dataplane/accounts.ts';
import { type Row, suspend } from '../../forwarding/compile.ts';
import { prefixNumber, TablePatcher } from '../../forwarding/patch.ts';
import type { Publication } from '../../forwarding/publication.ts';
import { publish } from '../../forwarding/publication.ts';
import type { PeerRow } from '../../lease/watcher.ts';
import type { Logger } from '../../log.ts';
import { formatAddress4, type Prefix4 } from '../../wire/address.ts';

/** A reader holds the idle table for a breath; one that hangs must not make us spin. */
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 64;

export interface PeerTableOptions {
  readonly publication: Publication;
  readonly accounts: Accounts;
  readonly network: Prefix4;
  readonly subnet: Prefix4;
  /** UDP port of every node. */
  readonly port: number;
  readonly log: Logger;
  /** Called after each publication, with the number of those so far. */
  readonly published: (publications: number) => void;
}

/** Keeps the workers' table equal to the rows set last and what changed since. */
export class PeerTable {
  publications = 0;
  private readonly options: PeerTableOptions;
  private readonly patcher: TablePatcher;
  /** What is not published yet, by prefix: a reader that hangs does not make it grow for ever. */
  private readonly waiting = new Map<number, PeerRow>();
  private timer: NodeJS.Timeout | undefined;
  private retryMs = FIRST_RETRY_MS;
  private leftOut = 0;
  private suspended = false;

  constructor(options: PeerTableOptions) {
    this.options = options;
    const { publication, accounts, subnet: own, network, port } = options;
    const words = publication.tables[0].length;
    this.patcher = new TablePatcher({ own, network, port }, words, accounts);
  }

  /**
   * All peers there are. Published at once, or as soon as no reader is in the way.
   * @param suspended nothing may pass, whatever the rows and the changes to come
   */
  set(rows: readonly PeerRow[], suspended = false): void {
    this.suspended = suspended;
    this.patcher.reset();
    this.waiting.clear();
    this.apply(suspended ? [] : rows);
  }

  /** Peers that came or changed, or that left (0), each subnet once; published likewise. */
  change(changes: readonly PeerRow[]): void {
    if (this.suspended) this.set([], true);
    else this.apply(changes);
  }

  private apply(changes: readonly PeerRow[]): void {
    if (this.timer === undefined && this.publish(changes)) return;
    for (const row of changes) this.waiting.set(prefixNumber(row), row);
    if (this.timer === undefined) this.retryLater();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private retryLater(): void {
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (!this.publish([...this.waiting.values()])) this.retryLater();
    }, this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
  }

  /** False while a reader is in the way. */
  private publish(changes: readonly PeerRow[]): boolean {
    const { publication, accounts } = this.options;
    let leftOut = 0;
    const done = publish(publication, (idle, current) => {
      accounts.begin();
      leftOut = this.patcher.update(idle, current, changes.map(asRow));
      if (this.suspended) suspend(idle);
    });
    if (!done) return false;
    this.waiting.clear();
    this.retryMs = FIRST_RETRY_MS;
    this.publications += 1;
    this.reportLeftOut(leftOut);
    this.options.published(this.publications);
    return true;
  }

  private reportLeftOut(leftOut: number): void {
    if (leftOut > 0 && leftOut !== this.leftOut) {
      this.options.log.error(
        { leftOut },
        'more leases than the table holds: the rest is unreachable',
      );
    }
    this.leftOut = leftOut;
  }
}

/** As the table knows peers: by the text of their address, none by the empty text. */
function asRow({ network, length, peer }: PeerRow): Row {
  return { network, length, peer: peer === 0 ? '' : formatAddress4(peer) };
}
