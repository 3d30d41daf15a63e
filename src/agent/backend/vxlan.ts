import type { Lease } from '../../lease/lease.ts';
import { showLink } from '../../linux/link.ts';
import { type Monitor, startMonitor } from '../../linux/monitor.ts';
import { listForwarding, listNeighbours } from '../../linux/neighbour.ts';
import { listRoutesOf, listRoutesWithin } from '../../linux/route.ts';
import type { VxlanDetails } from '../../linux/vxlan.ts';
import { formatAddress4, formatPrefix4 } from '../../wire/address.ts';
import type { Uplink } from '../uplink.ts';
import type { Backend, BackendContext, BackendStatus, OwnLease } from './backend.ts';
import { removeLeftovers } from './leftovers.ts';
import type { WantedEntry } from './reconcile/plan.ts';
import { type Driver, Reconciler, type Sight, type Want } from './reconcile/reconciler.ts';
import * as routes from './routes.ts';
import * as device from './vxlan/device.ts';
import { readForwarding, readNeighbours } from './vxlan/entries.ts';
import { chooseVxlanMtu, readVxlanOptions, type VxlanOptions } from './vxlan/options.ts';
import { readVtep, vtepData } from './vxlan/vtep.ts';

const TYPE = 'vxlan';

interface VxlanSight extends Sight {
  readonly onLink: (address: number) => boolean;
}

/**
 * flannel's `vxlan`: the kernel's vxlan device, and for each peer a route, a permanent neighbour
 * and a forwarding entry; nothing is learned or asked for on the wire. The device exists when this
 * returns, since its MAC address is published with the lease; it is down until a lease is held.
 * @throws Fault for options, or a host that refuses the device
 */
export async function createVxlan(context: BackendContext): Promise<Backend> {
  const options = readVxlanOptions(context.options);
  const name = `flannel.${options.vni}`;
  const { previous, run } = context;
  const vtep = previous?.backendType === TYPE ? readVtep(previous.backendData) : undefined;
  const published = vtep?.ok ? vtep.macAddress : undefined;
  const macAddress = await device.chooseMacAddress(run, name, published);
  const backend = new Vxlan(context, options, macAddress);
  const made = await device.ensureDevice(run, backend.wish, macAddress);
  context.log.info({ device: name, macAddress, mtu: backend.mtu, made }, 'vxlan device');
  const unset = device.refuseRouterAdvertisements(name);
  if (unset !== undefined) context.log.warn(unset);
  return backend;
}

class Vxlan implements Backend, Driver<VxlanSight> {
  readonly type = TYPE;
  readonly attributes: Backend['attributes'];
  readonly device: string;
  private readonly context: BackendContext;
  private readonly options: VxlanOptions;
  private readonly macAddress: string;
  private readonly reconciler: Reconciler<VxlanSight>;
  mtu: number;
  private uplink: Uplink;
  private own: OwnLease | undefined;
  private monitor: Monitor | undefined;

  constructor(context: BackendContext, options: VxlanOptions, macAddress: string) {
    const { run, log, readiness, uplink } = context;
    this.context = context;
    this.options = options;
    this.macAddress = macAddress;
    this.device = `flannel.${options.vni}`;
    this.uplink = uplink;
    this.mtu = chooseVxlanMtu(options.underlayMtu, uplink, log);
    this.attributes = { backendType: TYPE, backendData: vtepData(options.vni, macAddress) };
    this.reconciler = new Reconciler({ driver: this, run, log, readiness });
  }

  get wish(): device.VxlanWish {
    const { vni, port, learning, groupPolicy } = this.options;
    // The interface's address, not the public one: the kernel sends from none that it does not
    // have, so behind 1:1 NAT nothing would leave.
    const { name, address } = this.uplink;
    const local = formatAddress4(address);
    const details: VxlanDetails = { vni, link: name, local, port, learning, groupPolicy };
    return { name: this.device, mtu: this.mtu, details };
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
    await this.reconciler.deactivate();
    if (this.own !== undefined && uplink.name !== this.uplink.name) {
      await routes.removePeerRoutes(this.context.run, this.own, this.uplink.name);
    }
    this.uplink = uplink;
    this.mtu = chooseVxlanMtu(this.options.underlayMtu, uplink, this.context.log);
  }

  async suspend(): Promise<void> {
    await this.reconciler.deactivate();
    const { own, context } = this;
    if (own === undefined) return;
    // Without the device its entries are gone; routes by the uplink may be there.
    if ((await showLink(context.run, this.device)) !== undefined) await this.reconciler.clear();
    await routes.removePeerRoutes(context.run, own, this.uplink.name);
    await device.closeDevice(context.run, this.device, own);
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
      // Forwarding entries are told as neighbours, too.
      argv: ['ip', '-o', 'monitor', 'label', 'link', 'address', 'route', 'neigh'],
      about: (line) =>
        this.own !== undefined &&
        routes.isRelevant(line, this.own, {
          devices: [this.device, this.uplink.name],
          neighboursOf: this.device,
        }),
      changed: () => this.reconciler.wake(),
      log,
    });
  }

  async ensure(): Promise<readonly string[]> {
    const { run } = this.context;
    const made = await device.ensureDevice(run, this.wish, this.macAddress);
    if (made.length > 0) device.refuseRouterAdvertisements(this.device);
    return [...made, ...(await device.ensureAddress(run, this.device, this.own!, this.macAddress))];
  }

  async look(leases: readonly Lease[]): Promise<VxlanSight> {
    const { run } = this.context;
    const own = this.own!;
    const [inside, uplinkRoutes, neighbours, forwarding, link] = await Promise.all([
      listRoutesWithin(run, formatPrefix4(own.network)),
      this.options.directRouting ? listRoutesOf(run, this.uplink.name) : [],
      listNeighbours(run, this.device),
      listForwarding(run, this.device),
      showLink(run, this.device),
    ]);
    const isOurs = routes.compileIsOurs(own, this.uplink.name, leases);
    return {
      found: [
        ...routes.readRoutes(inside, isOurs),
        ...readNeighbours(neighbours, own),
        ...readForwarding(forwarding, neighbours, own),
      ],
      ground: `${link?.index}\n${routes.describeGround(uplinkRoutes, own.network)}`,
      onLink: routes.compileOnLink(uplinkRoutes, own.network),
    };
  }

  want(leases: readonly Lease[], { onLink }: VxlanSight): Want {
    const entries: WantedEntry[] = [];
    const refused = new Map<string, string>();
    for (const lease of leases) {
      if (onLink(lease.publicAddress)) {
        const owner = formatPrefix4(lease.subnet);
        const value = routes.gatewayRoute(lease.publicAddress, this.uplink.name);
        entries.push({ table: 'route', key: owner, value, owner });
      } else {
        this.wantTunnel(lease, entries, refused);
      }
    }
    return { entries, refused };
  }

  private wantTunnel(lease: Lease, entries: WantedEntry[], refused: Map<string, string>): void {
    const { subnet, publicAddress } = lease;
    const owner = formatPrefix4(subnet);
    const vtep = readVtep(lease.backendData);
    if (!vtep.ok || vtep.macAddress === this.macAddress) {
      const reason = vtep.ok ? `its VtepMAC ${vtep.macAddress} is this node's own` : vtep.reason;
      refused.set(owner, reason);
      return;
    }
    const { macAddress } = vtep;
    const first = formatAddress4(subnet.network);
    const route = routes.tunnelRoute(subnet, this.device);
    entries.push(
      { table: 'route', key: owner, value: route, owner },
      { table: 'neighbour', key: first, value: macAddress, owner },
      { table: 'forwarding', key: macAddress, value: formatAddress4(publicAddress), owner },
    );
  }

  async settled(): Promise<void> {
    const { run, log } = this.context;
    const gone = await removeLeftovers(run, this.own!.network, this.device);
    if (gone.length > 0) log.info(`removed ${gone.join(', ')} of another backend`);
  }
}
