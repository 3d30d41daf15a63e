import type { LeaseSource } from '../../lease/source.ts';
import type { OwnStanding } from '../../lease/watcher.ts';
import type { Run } from '../../linux/command.ts';
import { listLinks } from '../../linux/link.ts';
import type { Logger } from '../../log.ts';
import { formatAddress4, formatPrefix4, type Prefix4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import type { Readiness } from '../readiness.ts';

/** While nothing is carried: how often to see whether the agent has another subnet by now. */
const LOOK_EVERY_MS = 1_000;

export interface LeaseGuardOptions {
  readonly run: Run;
  readonly readiness: Readiness;
  readonly log: Logger;
  readonly source: Pick<LeaseSource, 'name' | 'whole'>;
  readonly subnet: Prefix4;
  /** This node's PublicIP as of now, a host-order uint32. */
  readonly publicAddress: () => number;
  /** Nothing may pass from now on, or everything again. */
  readonly suspend: (suspended: boolean) => void;
  /** Throws a Fault once the agent has given the node another subnet. */
  readonly settled: () => Promise<void>;
  readonly fail: (fault: Fault) => void;
}

/**
 * Packets pass only while the subnet is this node's: a forwarder beside an agent of another process
 * sees by the leases themselves that it went to another node, or that it is gone.
 */
export class LeaseGuard {
  private readonly options: LeaseGuardOptions;
  private wasOurs = false;
  /** Why nothing passes; null while it does. */
  lost: string | null = null;
  private hearing = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(options: LeaseGuardOptions) {
    this.options = options;
  }

  /** What the source says of the subnet, each time that changes. */
  hear(standing: OwnStanding): void {
    this.hearing += 1;
    if (standing.kind === 'foreign') {
      void this.judge(standing.publicAddress);
    } else if (standing.kind === 'own') {
      this.wasOurs = true;
      this.resume("is this node's again");
    } else if (!this.options.source.whole) {
      // A file need not list its own reader.
      this.resume('is claimed by nobody any more');
    } else if (this.wasOurs || this.lost !== null) {
      this.lose(
        `it is gone from ${this.options.source.name}`,
        "is this node's agent running (weft agent, flanneld)?",
      );
    }
  }

  stop(): void {
    this.hearing += 1;
    clearInterval(this.timer);
  }

  /** An address of this host is no other node's: the agent may know of a change before we do. */
  private async judge(holder: number): Promise<void> {
    const { suspend, run, source, publicAddress } = this.options;
    const { hearing } = this;
    const text = formatAddress4(holder);
    suspend(true);
    const links = await listLinks(run).catch(() => []);
    if (hearing !== this.hearing) return;
    if (links.some(({ addresses }) => addresses.some(({ local }) => local === text))) {
      this.resume(`names ${text}, which this host has`);
      return;
    }
    this.lose(
      `in ${source.name} it names ${text}, and this node is ${formatAddress4(publicAddress())}`,
      'weft agent takes another subnet by itself, flanneld needs a restart; if ' +
        `${text} is this node's public address, give weft dataplane --public-ip ${text}`,
    );
  }

  private lose(reason: string, cure: string): void {
    const { suspend, readiness, log, subnet } = this.options;
    suspend(true);
    this.lost = `the lease of ${formatPrefix4(subnet)} is lost: ${reason}`;
    readiness.set('lease', `${this.lost}; ${cure}`);
    log.error(`${this.lost}; no packet is carried until it is this node's again: ${cure}`);
    clearInterval(this.timer);
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  private resume(how: string): void {
    const { suspend, readiness, log, subnet } = this.options;
    suspend(false);
    clearInterval(this.timer);
    readiness.clear('lease');
    if (this.lost !== null) {
      log.info(`the lease of ${formatPrefix4(subnet)} ${how}: packets are carried again`);
    }
    this.lost = null;
  }

  private async look(): Promise<void> {
    try {
      await this.options.settled();
    } catch (error) {
      if (error instanceof Fault) this.options.fail(error);
      else throw error;
    }
  }
}
