import type { Run } from '../../linux/command.ts';
import { type Link, listLinks } from '../../linux/link.ts';
import { type Monitor, startMonitor } from '../../linux/monitor.ts';
import type { Logger } from '../../log.ts';
import { formatAddress4, parseAddress4 } from '../../wire/address.ts';
import type { Readiness } from '../readiness.ts';
import { type Uplink, type UplinkWishes, usableAddresses } from '../uplink.ts';

/** Should the monitor miss something, it is found at the next look. */
const LOOK_EVERY_MS = 30_000;

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
  const watch = new Watch(options);
  watch.start();
  return watch;
}

class Watch implements UplinkWatch {
  uplink: Uplink;
  private readonly options: UplinkWatchOptions;
  private monitor: Monitor | undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private again = false;
  private stopped = false;

  constructor(options: UplinkWatchOptions) {
    this.options = options;
    this.uplink = options.uplink;
  }

  start(): void {
    const { log, prefix = [] } = this.options;
    this.monitor = startMonitor({
      prefix,
      changed: () => this.look(),
      lost: (reason) => log.warn(`'ip monitor' ${reason}; starting it again`),
    });
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await Promise.all([this.monitor?.stop(), this.looking]);
  }

  /** One look at a time; a wake-up during one makes exactly one more. */
  private look(): void {
    this.again = true;
    this.looking ??= this.lookAll().finally(() => {
      this.looking = undefined;
    });
  }

  private async lookAll(): Promise<void> {
    while (this.again && !this.stopped) {
      this.again = false;
      try {
        const links = await listLinks(this.options.run);
        if (!this.stopped) this.judge(links.find(({ name }) => name === this.uplink.name));
      } catch (error) {
        this.complain(`cannot look at ${this.uplink.name}: ${(error as Error).message}`);
      }
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
    if (this.stopped) return;
    if (this.options.readiness.set('underlay', sentence)) this.options.log.warn(sentence);
  }
}
