import type { Run } from '../../linux/command.ts';
import { changeNft, listTable, type NftEntry } from '../../linux/nft.ts';
import type { Logger } from '../../log.ts';
import { Lookout } from '../node/lookout.ts';
import type { Readiness } from '../readiness.ts';
import { differences, fingerprint, sameHandles } from './compare.ts';
import { clearLeftovers } from './leftovers.ts';
import {
  describeWish,
  desiredRuleset,
  FAMILY,
  type FirewallWish,
  replaceTable,
  TABLE,
} from './ruleset.ts';

/**
 * So many repairs within a minute mean that somebody else sets the same table; from then on only
 * the timer looks, until a minute has passed without one.
 */
const QUARREL_REPAIRS = 5;
const QUARREL_MS = 60_000;

export interface FirewallOptions {
  readonly run: Run;
  readonly wish: FirewallWish;
  /** --iptables-resync; deletions are also heard of at once. */
  readonly resyncSeconds: number;
  readonly readiness: Pick<Readiness, 'set' | 'clear'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Put before `nft monitor`, as the runner does for the rest: `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
}

export interface FirewallStatus {
  /** The rules were all there at the last look. */
  readonly inForce: boolean;
  /** Why they are not, or whom we quarrel with; empty where all is well. */
  readonly trouble: string;
  readonly looks: number;
  /** Transactions that set the table, repairs among them. */
  readonly transactions: number;
  /** Looks that found the table changed or deleted by somebody else. */
  readonly repairs: number;
}

/**
 * Keeps the rules in force: sets the table in one transaction, and puts it right whenever it is
 * found changed. Trouble makes the node not ready and is tried again at the next look; nothing here
 * throws.
 */
export interface Firewall {
  /** Other rules from now on, in one transaction; resolves after the look that sets them. */
  update(wish: FirewallWish): Promise<void>;
  /** Looks now, and resolves when that look is over. */
  look(): Promise<void>;
  status(): FirewallStatus;
  /** Stops looking; the rules stay, as flannel's do, so that a restart interrupts nobody. */
  stop(): Promise<void>;
}

/** Starts looking; await `look()` to know that the first one is over. */
export function startFirewall(options: FirewallOptions): Firewall {
  const keeper = new Keeper(options);
  void keeper.look();
  return keeper;
}

class Keeper implements Firewall {
  private readonly options: FirewallOptions;
  private readonly lookout: Lookout;
  private wish: FirewallWish;
  private inForce = false;
  /** Set for this wish before: what is found missing now was taken away by others. */
  private settled = false;
  private leftoversCleared = false;
  private leftoversTold = false;
  private trouble = '';
  /** What nft says of our rules, where that is not what we know how to read. */
  private accepted: string | undefined;
  /** The same, as of the transaction before. */
  private strange: string | undefined;
  private looks = 0;
  private transactions = 0;
  private repairs = 0;
  private repairTimes: number[] = [];
  private quarrel = false;

  constructor(options: FirewallOptions) {
    this.options = options;
    this.wish = options.wish;
    const { resyncSeconds, prefix, log } = options;
    this.lookout = new Lookout({
      look: () => this.lookOnce(),
      everyMs: resyncSeconds * 1000,
      monitor: { argv: ['nft', 'monitor', 'destroy'], about: TABLE, log, prefix },
      heeds: () => !this.quarrel,
    });
  }

  async update(wish: FirewallWish): Promise<void> {
    this.wish = wish;
    this.settled = false;
    this.leftoversCleared = false;
    this.accepted = undefined;
    await this.look();
  }

  status(): FirewallStatus {
    const { inForce, trouble, looks, transactions, repairs } = this;
    return { inForce, trouble, looks, transactions, repairs };
  }

  stop(): Promise<void> {
    return this.lookout.stop();
  }

  look(): Promise<void> {
    return this.lookout.look();
  }

  private async lookOnce(): Promise<void> {
    try {
      await this.restore();
      await this.clearOnce();
      this.succeed();
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  private async restore(): Promise<void> {
    const { run } = this.options;
    const { wish } = this;
    const wanted = desiredRuleset(wish);
    this.looks += 1;
    const listed = await listTable(run, FAMILY, TABLE);
    const found = differences(wanted, listed);
    if (found.length > 0 && fingerprint(listed) !== this.accepted) {
      const echoed = await changeNft(run, replaceTable(wanted));
      this.transactions += 1;
      this.tell(wish, found);
      await this.verify(wish, echoed);
    } else if (!this.settled && listed !== undefined) {
      this.options.log.info(`firewall: found ${describeWish(wish)} in force`);
    }
    if (wish === this.wish) this.settled = true;
  }

  /**
   * Reads back what was set, so that words nobody foresaw are not taken for a change at every look.
   * They have to be the same after two transactions, and the handles ours: somebody else's table
   * has others, and a rule that was replaced in this very moment is so only once.
   */
  private async verify(wish: FirewallWish, echoed: readonly NftEntry[]): Promise<void> {
    const listed = await listTable(this.options.run, FAMILY, TABLE);
    const found = differences(desiredRuleset(wish), listed);
    this.accepted = undefined;
    if (found.length === 0 || listed === undefined || !sameHandles(echoed, listed)) return;
    const before = this.strange;
    this.strange = fingerprint(listed);
    if (this.strange !== before) return;
    this.accepted = this.strange;
    this.options.log.warn(
      `this nft lists our rules in words unknown to weft (${found[0]}); they are watched as listed`,
    );
  }

  private tell(wish: FirewallWish, found: readonly string[]): void {
    const { log } = this.options;
    if (!this.settled) {
      log.info(`firewall: set ${describeWish(wish)} in table ${FAMILY} ${TABLE}`);
      return;
    }
    this.repairs += 1;
    const now = performance.now();
    this.repairTimes = [...this.repairTimes.slice(1 - QUARREL_REPAIRS), now];
    if (!this.quarrel) log.warn(`firewall: restored table ${FAMILY} ${TABLE}: ${found.join(', ')}`);
  }

  private async clearOnce(): Promise<void> {
    if (this.leftoversCleared || this.lookout.stopped) return;
    const { run, log } = this.options;
    const { forwardRules, network } = this.wish;
    try {
      const { removed, advice } = await clearLeftovers(run, forwardRules ? network : undefined);
      for (const sentence of removed) log.info(`firewall: ${sentence}`);
      for (const sentence of advice) log.warn(`firewall: ${sentence}`);
      this.leftoversCleared = true;
    } catch (error) {
      // Somebody else wrote to the same table in this very moment, perhaps: the next look tries on.
      if (this.leftoversTold) return;
      this.leftoversTold = true;
      const { message } = error as Error;
      log.warn(`firewall: what flannel's iptables mode left stays for now: ${message}`);
    }
  }

  private succeed(): void {
    this.inForce = true;
    this.trouble = this.judgeQuarrel();
    if (this.options.readiness.clear('firewall')) this.options.log.info('firewall: rules are set');
  }

  private fail(reason: string): void {
    if (this.lookout.stopped) return;
    this.inForce = false;
    this.trouble = reason;
    const { readiness, log } = this.options;
    if (readiness.set('firewall', `firewall: ${reason}`)) log.warn(`firewall: ${reason}`);
  }

  /** Two agents that each restore their own rules would otherwise wake each other for ever. */
  private judgeQuarrel(): string {
    const since = performance.now() - QUARREL_MS;
    const recent = this.repairTimes.filter((time) => time > since).length;
    const before = this.quarrel;
    if (recent >= QUARREL_REPAIRS) this.quarrel = true;
    else if (recent === 0) this.quarrel = false;
    const { log, resyncSeconds } = this.options;
    if (!this.quarrel) {
      if (before) log.info(`firewall: nobody else sets table ${FAMILY} ${TABLE} any more`);
      return '';
    }
    const sentence =
      `somebody else keeps setting table ${FAMILY} ${TABLE} (another weft, or flanneld with ` +
      `EnableNFTables); restored only every ${resyncSeconds} s, without a line each`;
    if (!before) log.warn(`firewall: ${sentence}`);
    return sentence;
  }
}
