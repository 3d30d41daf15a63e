import type { Run } from '../../linux/command.ts';
import { type Link, listLinks } from '../../linux/link.ts';
import type { Logger } from '../../log.ts';
import { formatAddress4 } from '../../wire/address.ts';
import type { Readiness } from '../readiness.ts';
import { followUplink } from '../underlay/follow.ts';
import type { Uplink, UplinkWishes } from '../uplink.ts';
import { Lookout } from './lookout.ts';

export interface UplinkWatchOptions {
  readonly run: Run;
  /** Put before `ip monitor`, as the runner does for the rest: `ip netns exec NAME`. */
  readonly prefix?: readonly string[];
  readonly wishes: UplinkWishes;
  readonly uplink: Uplink;
  readonly readiness: Readiness;
  readonly log: Logger;
  /** The interface has another address or MTU; called once for each change. */
  readonly changed: (uplink: Uplink) => void;
  /** Links, addresses or routes of this host may be others; told after each look. */
  readonly looked?: () => void;
}

export interface UplinkWatch {
  /** The uplink as of the last look. */
  readonly uplink: Uplink;
  stop(): Promise<void>;
}

/**
 * Follows address and MTU of the underlay while weft runs. What was chosen at the start stays
 * chosen: a second default route or a better address must not move a node. Where the operator named
 * an address, nothing else is taken in its place.
 */
export function watchUplink(options: UplinkWatchOptions): UplinkWatch {
  return new Watch(options);
}

/**
 * An address may be removed and added again, by networkd or by hand: only one that stays away this
 * long is given up for another, which every peer has to be told of.
 */
const PATIENCE_MS = 2_000;

class Watch implements UplinkWatch {
  uplink: Uplink;
  private readonly options: UplinkWatchOptions;
  private readonly lookout: Lookout;
  private readonly home: number;
  private missingSince: number | undefined;
  private again: NodeJS.Timeout | undefined;

  constructor(options: UplinkWatchOptions) {
    this.options = options;
    this.uplink = options.uplink;
    this.home = options.uplink.address;
    const { log, prefix } = options;
    this.lookout = new Lookout({ look: () => this.look(), monitor: { log, prefix } });
  }

  stop(): Promise<void> {
    clearTimeout(this.again);
    return this.lookout.stop();
  }

  private async look(): Promise<void> {
    try {
      const links = await listLinks(this.options.run);
      if (this.lookout.stopped) return;
      this.judge(links);
      this.options.looked?.();
    } catch (error) {
      this.complain(`cannot look at ${this.uplink.name}: ${(error as Error).message}`);
    }
  }

  private judge(links: readonly Link[]): void {
    const { wishes } = this.options;
    const found = followUplink(links, this.uplink, this.home, wishes);
    if (found.kind === 'lost') this.complain(found.reason);
    else if (found.kind === 'replaced' && this.mayReturn(found.uplink)) return;
    else this.welcome(found.uplink);
    if (found.kind !== 'replaced') this.missingSince = undefined;
  }

  /** Whether the address that is gone is waited for still. */
  private mayReturn({ name, owner = name, address }: Uplink): boolean {
    const now = performance.now();
    this.missingSince ??= now;
    const left = this.missingSince + PATIENCE_MS - now;
    if (left <= 0) return false;
    const was = formatAddress4(this.uplink.address);
    const next = `${formatAddress4(address)} takes its place unless it comes back`;
    this.complain(`underlay ${owner} lost its address ${was}: ${next}`);
    clearTimeout(this.again);
    this.again = setTimeout(() => void this.lookout.look(), left);
    return true;
  }

  private welcome(next: Uplink): void {
    const { readiness, log } = this.options;
    const { uplink } = this;
    const text = formatAddress4(next.address);
    const same = next.address === uplink.address;
    if (readiness.clear('underlay') && same) log.info(`underlay ${next.name} has ${text} again`);
    if (same && next.mtu === uplink.mtu && next.name === uplink.name) {
      this.uplink = next;
      return;
    }
    this.uplink = next;
    const was = `${formatAddress4(uplink.address)} on ${uplink.name}, MTU ${uplink.mtu}`;
    log.warn(`underlay ${next.name} now has ${text}, MTU ${next.mtu}; it was ${was}`);
    this.options.changed(next);
  }

  private complain(sentence: string): void {
    if (this.lookout.stopped) return;
    if (this.options.readiness.set('underlay', sentence)) this.options.log.warn(sentence);
  }
}
