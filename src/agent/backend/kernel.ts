import type { Lease } from '../../lease/lease.ts';
import { findLink } from '../../linux/link.ts';
import { type Monitor, startMonitor } from '../../linux/monitor.ts';
import { listRoutesWithin, type Route } from '../../linux/route.ts';
import { shown } from '../../untrusted/shown.ts';
import { contains, formatAddress4, formatPrefix4, type Prefix4 } from '../../wire/address.ts';
import type { Uplink } from '../uplink.ts';
import type { Backend, BackendContext, BackendStatus, OwnLease } from './backend.ts';
import { removeLeftovers } from './leftovers.ts';
import type { FoundEntry, WantedEntry } from './reconcile/plan.ts';
import { type Driver, Reconciler, type Sight, type Want } from './reconcile/reconciler.ts';
import * as routes from './routes.ts';

/** What a datapath works with: the lease held, the uplink in force, the MTU over it. */
export interface Site {
  readonly own: OwnLease;
  readonly uplink: Uplink;
  readonly mtu: number;
}

/** One datapath of the kernel's: what its backend does that no other one does. */
export interface Datapath {
  readonly type: string;
  readonly attributes: Backend['attributes'];
  /** A device of its own; undefined where packets leave by the uplink as they are. */
  readonly tunnel: string | undefined;
  /** UDP port of that device. */
  readonly tunnelPort?: number;
  /** MTU for pods. @throws Fault for an uplink that peers cannot be reached over */
  mtuOver(uplink: Uplink): number;
  /** Sets right what all peers hang on. @returns what had to be set right, in words */
  ensure(site: Site): Promise<readonly string[]>;
  /** What it sees beside the routes to subnets. */
  look(site: Site): Promise<DatapathSight>;
  /** What a peer beyond the link needs, or why there is no way to it. Pure. */
  reach(lease: Lease, site: Site): readonly WantedEntry[] | string;
  /** Lets nothing pass any more; routes and entries are gone already. */
  close(own: OwnLease): Promise<void>;
}

export interface DatapathSight {
  /** Routes of the uplink that say who is on its link; none where that makes no difference. */
  readonly uplinkRoutes: readonly Route[];
  readonly entries: readonly FoundEntry[];
  /** Another one means that what was refused may be accepted now. */
  readonly ground: string;
}

interface KernelSight extends Sight {
  readonly onLink: (address: number) => boolean;
}

/** Which PublicIP a subnet has in it: only of an underlay inside Network it has any. */
function compileHoldsNode(
  leases: readonly Lease[],
  network: Prefix4,
): (subnet: Prefix4) => number | undefined {
  const inside = leases
    .map(({ publicAddress }) => publicAddress)
    .filter((address) => contains(network, address));
  return (subnet) => inside.find((address) => contains(subnet, address));
}

/**
 * A backend whose packets the kernel moves: follows lease, uplink and peers, watches what others
 * do, and reaches peers on the link by a route, others by the datapath.
 */
export class KernelBackend implements Backend, Driver<KernelSight> {
  mtu: number;
  private readonly context: BackendContext;
  private readonly datapath: Datapath;
  private readonly reconciler: Reconciler<KernelSight>;
  private uplink: Uplink;
  private own: OwnLease | undefined;
  private monitor: Monitor | undefined;

  /** @throws Fault for an uplink that peers cannot be reached over */
  constructor(context: BackendContext, datapath: Datapath) {
    const { run, log, readiness, uplink } = context;
    this.context = context;
    this.datapath = datapath;
    this.uplink = uplink;
    this.mtu = datapath.mtuOver(uplink);
    this.reconciler = new Reconciler({ driver: this, run, log, readiness });
  }

  get type(): string {
    return this.datapath.type;
  }

  get attributes(): Backend['attributes'] {
    return this.datapath.attributes;
  }

  get tunnelPort(): number | undefined {
    return this.datapath.tunnelPort;
  }

  get device(): string {
    return this.datapath.tunnel ?? this.uplink.name;
  }

  reachable(backendType: string): boolean {
    return backendType === this.type;
  }

  async open(own: OwnLease): Promise<void> {
    await this.reconciler.deactivate();
    this.own = own;
    await this.ensure();
    this.monitor ??= this.watch();
    this.reconciler.activate();
  }

  setPeers(leases: readonly Lease[]): void {
    this.reconciler.setPeers(leases);
  }

  async setUplink(uplink: Uplink): Promise<void> {
    const mtu = this.datapath.mtuOver(uplink);
    await this.reconciler.deactivate();
    if (this.own !== undefined && uplink.name !== this.uplink.name) {
      await routes.removePeerRoutes(this.context.run, this.own, this.uplink.name);
    }
    this.uplink = uplink;
    this.mtu = mtu;
  }

  async suspend(): Promise<void> {
    await this.reconciler.deactivate();
    const { own, context } = this;
    if (own === undefined) return;
    const { tunnel } = this.datapath;
    // Without the device its entries are gone; routes by the uplink may be there.
    const there = tunnel === undefined || (await findLink(context.run, tunnel)) !== undefined;
    if (there) await this.reconciler.clear();
    await routes.removePeerRoutes(context.run, own, this.uplink.name);
    await this.datapath.close(own);
    this.own = undefined;
  }

  status(): BackendStatus {
    return this.reconciler.status();
  }

  async close(): Promise<void> {
    await this.reconciler.deactivate();
    await this.monitor?.stop();
    this.monitor = undefined;
  }

  private watch(): Monitor {
    const { log, prefix } = this.context;
    const { tunnel } = this.datapath;
    // Forwarding entries are told as neighbours, too.
    const objects = ['link', 'address', 'route', ...(tunnel === undefined ? [] : ['neigh'])];
    return startMonitor({
      prefix,
      argv: ['ip', '-o', 'monitor', 'label', ...objects],
      about: (line) => this.isRelevant(line),
      changed: () => this.reconciler.wake(),
      log,
    });
  }

  private isRelevant(line: string): boolean {
    const { own, uplink, device } = this;
    const concern = { devices: [device, uplink.name], neighboursOf: this.datapath.tunnel };
    return own !== undefined && routes.isRelevant(line, own, concern);
  }

  private get site(): Site {
    return { own: this.own!, uplink: this.uplink, mtu: this.mtu };
  }

  ensure(): Promise<readonly string[]> {
    return this.datapath.ensure(this.site);
  }

  async look(leases: readonly Lease[]): Promise<KernelSight> {
    const { own, uplink } = this.site;
    const [inside, seen] = await Promise.all([
      listRoutesWithin(this.context.run, formatPrefix4(own.network)),
      this.datapath.look(this.site),
    ]);
    const isOurs = routes.compileIsOurs(own, uplink.name, leases);
    const kept = [uplink.address, ...leases.map(({ publicAddress }) => publicAddress)];
    return {
      found: [...routes.readRoutes(inside, isOurs, kept), ...seen.entries],
      ground: `${seen.ground}\n${routes.describeGround(seen.uplinkRoutes, own.network)}`,
      onLink: routes.compileOnLink(seen.uplinkRoutes, own.network),
    };
  }

  want(leases: readonly Lease[], { onLink }: KernelSight): Want {
    const entries: WantedEntry[] = [];
    const refused = new Map<string, string>();
    const holdsNode = compileHoldsNode(leases, this.site.own.network);
    for (const lease of leases) {
      const owner = formatPrefix4(lease.subnet);
      const node = holdsNode(lease.subnet);
      const reached =
        node === undefined
          ? this.reach(lease, owner, onLink)
          : `the node ${formatAddress4(node)} is in it: its route would cut that off`;
      if (typeof reached === 'string') refused.set(owner, reached);
      else entries.push(...reached);
    }
    return { entries, refused };
  }

  /** What one peer needs, or why it cannot be reached; whatever its lease says harms it alone. */
  private reach(
    lease: Lease,
    owner: string,
    onLink: KernelSight['onLink'],
  ): readonly WantedEntry[] | string {
    const { site } = this;
    try {
      if (!onLink(lease.publicAddress)) return this.datapath.reach(lease, site);
      const value = routes.gatewayRoute(lease.publicAddress, site.uplink.name);
      return [{ table: 'route', key: owner, value, owner }];
    } catch (error) {
      return `weft cannot handle its lease (please report it): ${shown(String(error))}`;
    }
  }

  async settled(): Promise<void> {
    const { run, log } = this.context;
    const gone = await removeLeftovers(run, this.own!.network, this.datapath.tunnel);
    if (gone.length > 0) log.info(`removed ${gone.join(', ')} of another backend`);
  }
}
