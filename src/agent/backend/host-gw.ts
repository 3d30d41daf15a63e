import type { Lease } from '../../lease/lease.ts';
import { showLink } from '../../linux/link.ts';
import { type Monitor, startMonitor } from '../../linux/monitor.ts';
import { listRoutesOf, listRoutesWithin } from '../../linux/route.ts';
import { formatAddress4, formatPrefix4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import type { Uplink } from '../uplink.ts';
import type { Backend, BackendContext, BackendStatus, OwnLease } from './backend.ts';
import { removeLeftovers } from './leftovers.ts';
import { type Driver, Reconciler, type Sight, type Want } from './reconcile/reconciler.ts';
import * as routes from './routes.ts';

const TYPE = 'host-gw';

interface HostGatewaySight extends Sight {
  readonly onLink: (address: number) => boolean;
}

/**
 * flannel's `host-gw`: a route to each peer's subnet by the peer itself, a neighbour on the link;
 * no device, no header, the uplink's MTU.
 * @throws Fault if peers see this node under another address than its interface has
 */
export async function createHostGateway(context: BackendContext): Promise<Backend> {
  refuseNat(context.uplink);
  return new HostGateway(context);
}

/** @throws Fault */
export function refuseNat({ name, address, publicAddress }: Uplink): void {
  if (address === publicAddress) return;
  throw new Fault(
    'configuration',
    `host-gw cannot work behind NAT: peers would route to ${formatAddress4(publicAddress)}, but ` +
      `${name} has ${formatAddress4(address)}. Leave --public-ip out or name the interface that ` +
      "has it (--iface), or choose Backend Type 'vxlan' or 'udp'",
  );
}

class HostGateway implements Backend, Driver<HostGatewaySight> {
  readonly type = TYPE;
  readonly attributes = { backendType: TYPE };
  private readonly context: BackendContext;
  private readonly reconciler: Reconciler<HostGatewaySight>;
  private uplink: Uplink;
  private own: OwnLease | undefined;
  private monitor: Monitor | undefined;

  constructor(context: BackendContext) {
    const { run, log, readiness, uplink } = context;
    this.context = context;
    this.uplink = uplink;
    this.reconciler = new Reconciler({ driver: this, run, log, readiness });
  }

  get mtu(): number {
    return this.uplink.mtu;
  }

  /** Routes name their device themselves. */
  get device(): string {
    return this.uplink.name;
  }

  reachable(backendType: string): boolean {
    return backendType === TYPE;
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
    refuseNat(uplink);
    await this.reconciler.deactivate();
    if (this.own !== undefined && uplink.name !== this.uplink.name) {
      await routes.removePeerRoutes(this.context.run, this.own, this.uplink.name);
    }
    this.uplink = uplink;
  }

  async suspend(): Promise<void> {
    await this.reconciler.deactivate();
    if (this.own === undefined) return;
    await this.reconciler.clear();
    await routes.removePeerRoutes(this.context.run, this.own, this.uplink.name);
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
    return startMonitor({
      prefix,
      about: (line) =>
        this.own !== undefined &&
        routes.isRelevant(line, this.own, { devices: [this.uplink.name] }),
      changed: () => this.reconciler.wake(),
      log,
    });
  }

  /** Without the uplink no route stands; that is one trouble, and not one a peer. */
  async ensure(): Promise<readonly string[]> {
    const { name } = this.uplink;
    const link = await showLink(this.context.run, name);
    if (link === undefined) throw new Fault('environment', `uplink ${name} is gone`);
    if (link.up) return [];
    throw new Fault('environment', `uplink ${name} is down: ip link set ${name} up`);
  }

  async look(leases: readonly Lease[]): Promise<HostGatewaySight> {
    const { run } = this.context;
    const own = this.own!;
    const [inside, link] = await Promise.all([
      listRoutesWithin(run, formatPrefix4(own.network)),
      listRoutesOf(run, this.uplink.name, 'link'),
    ]);
    const isOurs = routes.compileIsOurs(own, this.uplink.name, leases);
    return {
      found: routes.readRoutes(inside, isOurs),
      ground: routes.describeGround(link, own.network),
      onLink: routes.compileOnLink(link, own.network),
    };
  }

  want(leases: readonly Lease[], { onLink }: HostGatewaySight): Want {
    const entries = [];
    const refused = new Map<string, string>();
    for (const { subnet, publicAddress } of leases) {
      const owner = formatPrefix4(subnet);
      if (onLink(publicAddress)) {
        const value = routes.gatewayRoute(publicAddress, this.uplink.name);
        entries.push({ table: 'route', key: owner, value, owner } as const);
      } else {
        refused.set(owner, this.notOnLink(publicAddress));
      }
    }
    return { entries, refused };
  }

  private notOnLink(address: number): string {
    return (
      `its node ${formatAddress4(address)} is not on the link of ${this.uplink.name}; host-gw ` +
      "reaches no node behind a router: choose Backend Type 'vxlan' with DirectRouting, or 'udp'"
    );
  }

  async settled(): Promise<void> {
    const { run, log } = this.context;
    const gone = await removeLeftovers(run, this.own!.network, undefined);
    if (gone.length > 0) log.info(`removed ${gone.join(', ')} of another backend`);
  }
}
