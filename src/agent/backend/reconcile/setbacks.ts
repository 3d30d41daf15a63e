import type { Logger } from '../../../log.ts';
import type { PeerFailure } from '../backend.ts';

const FIRST_PAUSE_MS = 1_000;
const LAST_PAUSE_MS = 60_000;
/** A bad night for many peers is told by its first few; the count says the rest. */
const TOLD_AT_ONCE = 5;
const LISTED = 20;

/** A line that failed; the same line is tried again later, another one at once. */
export interface Failure {
  readonly line: string;
  readonly reason: string;
}

interface Setback extends Partial<Failure> {
  readonly reason: string;
  readonly attempts: number;
  /** By the clock of `performance.now()`; never for what no try of ours can help. */
  readonly notBefore: number;
}

/** What came out of one look, by owner: a peer's subnet, or an entry that should go. */
export interface Outcome {
  /** May not be set; judged anew at every look. */
  readonly refused: ReadonlyMap<string, string>;
  /** Was not tried, since its time has not come. */
  readonly waiting: ReadonlySet<string>;
  readonly failed: ReadonlyMap<string, Failure>;
}

/** Who fails now, since how many tries, and when the next one is due. */
export class Setbacks {
  private rows = new Map<string, Setback>();
  private readonly log: Logger;

  constructor(log: Logger) {
    this.log = log;
  }

  get size(): number {
    return this.rows.size;
  }

  has(owner: string): boolean {
    return this.rows.has(owner);
  }

  /** The first few, for people. */
  first(): PeerFailure[] {
    const rows = [...this.rows].slice(0, LISTED);
    return rows.map(([subnet, { reason }]) => ({ subnet, reason }));
  }

  /** When the next try is due, by the clock of `performance.now()`. */
  earliest(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { notBefore } of this.rows.values()) earliest = Math.min(earliest, notBefore);
    return earliest;
  }

  /** The ground has changed: whatever failed may succeed now. */
  forgive(): void {
    for (const [owner, row] of this.rows) this.rows.set(owner, { ...row, notBefore: 0 });
  }

  /**
   * @param lines what each owner would have done now
   * @returns the owners that have to wait: the line that failed is among theirs again, too soon
   */
  waiting(lines: readonly { readonly owner: string; readonly line: string }[]): Set<string> {
    const now = performance.now();
    const waiting = new Set<string>();
    for (const { owner, line } of lines) {
      const row = this.rows.get(owner);
      if (row?.line === line && row.notBefore > now) waiting.add(owner);
    }
    return waiting;
  }

  /** Takes what came out; whoever is not named is well. */
  settle({ refused, waiting, failed }: Outcome): void {
    const before = this.rows;
    this.rows = new Map();
    for (const [owner, reason] of refused) {
      this.rows.set(owner, { reason, attempts: 0, notBefore: Number.POSITIVE_INFINITY });
    }
    for (const owner of waiting) this.rows.set(owner, before.get(owner)!);
    for (const [owner, failure] of failed) {
      const attempts = (before.get(owner)?.attempts ?? 0) + 1;
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** (attempts - 1), LAST_PAUSE_MS);
      this.rows.set(owner, { ...failure, attempts, notBefore: performance.now() + pause });
    }
    this.tell(before);
  }

  private tell(before: ReadonlyMap<string, Setback>): void {
    const news = [...this.rows].filter(([owner, row]) => before.get(owner)?.reason !== row.reason);
    for (const [owner, { reason }] of news.slice(0, TOLD_AT_ONCE)) {
      this.log.warn(`${owner} cannot be programmed: ${reason}`);
    }
    if (news.length > TOLD_AT_ONCE) {
      this.log.warn(`and ${news.length - TOLD_AT_ONCE} more cannot be programmed`);
    }
    const well = [...before.keys()].filter((owner) => !this.rows.has(owner));
    if (well.length > TOLD_AT_ONCE) this.log.info(`${well.length} are no longer in trouble`);
    else for (const owner of well) this.log.info(`${owner} is no longer in trouble`);
  }
}
