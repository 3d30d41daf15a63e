import type { Run } from '../../linux/command.ts';
import { type Link, listLinks } from '../../linux/link.ts';
import type { Logger } from '../../log.ts';
import { formatAddress4, parseAddress4 } from '../../wire/address.ts';
import type { Readiness } from '../readiness.ts';
import { type Uplink, type UplinkWishes, usableAddresses } from '../uplink.ts';
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
}

export interface UplinkWatch {
  /** The uplink as of the last look. */
  readonly uplink: Uplink;
  stop(): Promise<void>;
}

/**
 * Follows address and MTU of the underlay's interface while weft runs. The interface itself stays
 * the one chosen at the start: a second default route must not move a node. Where the operator
 * named an address, nothing else is taken in its place.
 */
export function watchUplink(options: UplinkWatchOptions): UplinkWatch {
  return new Watch(options);
}

class Watch implements UplinkWatch {
  uplink: Uplink;
  private readonly options: UplinkWatchOptions;
  private readonly lookout: Lookout;

  constructor(options: UplinkWatchOptions) {
    this.options = options;
    this.uplink = options.uplink;
    const { log, prefix } = options;
    this.lookout = new Lookout({ look: () => this.look(), monitor: { log, prefix } });
  }

  stop(): Promise<void> {
    return this.lookout.stop();
  }

  private async look(): Promise<void> {
    const { name } = this.uplink;
    try {
      const links = await listLinks(this.options.run);
      if (!this.lookout.stopped) this.judge(links.find((link) => link.name === name));
    } catch (error) {
      this.complain(`cannot look at ${name}: ${(error as Error).message}`);
    }
  }

  private judge(link: Link | undefined): void {
    const { name } = this.uplink;
    const was = formatAddress4(this.uplink.address);
    const address = link && this.addressOn(link, was);
    if (link === undefined) this.complain(`underlay ${name} is gone`);
    else if (address === undefined) this.complain(`underlay ${name} lost its address ${was}`);
    else if (!link.up) this.complain(`underlay ${name} is down: ip link set ${name} up`);
    else this.welcome(address, link.mtu);
  }

  private welcome(address: string, mtu: number): void {
    const { readiness, log } = this.options;
    const same = address === formatAddress4(this.uplink.address);
    if (readiness.clear('underlay') && same) {
      log.info(`underlay ${this.uplink.name} has ${address} again`);
    }
    if (!same || mtu !== this.uplink.mtu) this.follow(address, mtu);
  }

  /** The address in use if it is still there, else the one that would be chosen now. */
  private addressOn(link: Link, was: string): string | undefined {
    const { interfaces, interfacePatterns: patterns, publicAddress } = this.options.wishes;
    const present = usableAddresses(link).map((row) => row.local);
    if (present.includes(was)) return was;
    if (interfaces.includes(was)) return undefined;
    // Peers send to --public-ip, which nothing else on the interface answers for.
    if (publicAddress !== undefined && formatAddress4(publicAddress) === was) return undefined;
    const byAddress = patterns.some((pattern) => pattern.test(was) && !pattern.test(link.name));
    const fits = (address: string) => patterns.some((pattern) => pattern.test(address));
    return byAddress ? present.find(fits) : present[0];
  }

  private follow(text: string, mtu: number): void {
    const { wishes, log, changed } = this.options;
    const { uplink } = this;
    const address = parseAddress4(text)!;
    this.uplink = { ...uplink, address, mtu, publicAddress: wishes.publicAddress ?? address };
    const was = `${formatAddress4(uplink.address)}, MTU ${uplink.mtu}`;
    log.warn(`underlay ${uplink.name} now has ${text}, MTU ${mtu}; it had ${was}`);
    changed(this.uplink);
  }

  private complain(sentence: string): void {
    if (this.lookout.stopped) return;
    if (this.options.readiness.set('underlay', sentence)) this.options.log.warn(sentence);
  }
}
