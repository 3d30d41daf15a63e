import type { Lease } from '../../lease/lease.ts';
import type { Run } from '../../linux/command.ts';
import { findLink } from '../../linux/link.ts';
import { listForwarding, listNeighbours } from '../../linux/neighbour.ts';
import { listRoutesOf } from '../../linux/route.ts';
import { formatAddress4, formatPrefix4 } from '../../wire/address.ts';
import { attachmentsOf, warnOf } from '../udp/attachments.ts';
import type { Uplink } from '../uplink.ts';
import type { Backend, BackendContext, OwnLease } from './backend.ts';
import { type Datapath, type DatapathSight, KernelBackend, type Site } from './kernel.ts';
import type { WantedEntry } from './reconcile/plan.ts';
import { tunnelRoute } from './routes.ts';
import * as device from './vxlan/device.ts';
import { readForwarding, readNeighbours } from './vxlan/entries.ts';
import { chooseVxlanMtu, readVxlanOptions, type VxlanOptions } from './vxlan/options.ts';
import { readVtep, vtepData } from './vxlan/vtep.ts';

const TYPE = 'vxlan';

/**
 * flannel's `vxlan`: the kernel's vxlan device, and for each peer a route, a permanent neighbour
 * and a forwarding entry; nothing is learned or asked for on the wire. The device exists when this
 * returns, since its MAC address is published with the lease; it is down until a lease is held.
 * @throws Fault for options, or a host that refuses the device
 */
export async function createVxlan(context: BackendContext): Promise<Backend> {
  const options = readVxlanOptions(context.options);
  const { previous, run, uplink, log } = context;
  const vtep = previous?.backendType === TYPE ? readVtep(previous.backendData) : undefined;
  const published = vtep?.ok ? vtep.macAddress : undefined;
  const macAddress = await device.chooseMacAddress(run, nameOf(options), published);
  const vxlan = new Vxlan(context, options, macAddress);
  const backend = new KernelBackend(context, vxlan);
  const { tunnel } = vxlan;
  const { mtu } = backend;
  const cleared = await device.clearAttachments(run, tunnel);
  if (cleared !== undefined) log.warn(cleared);
  const made = await device.ensureDevice(run, vxlan.wish({ uplink, mtu }), macAddress);
  log.info({ device: tunnel, macAddress, mtu, made }, 'vxlan device');
  for (const unset of device.setSysctls(tunnel).unset) log.warn(unset);
  return backend;
}

const nameOf = ({ vni }: VxlanOptions): string => `flannel.${vni}`;

class Vxlan implements Datapath {
  readonly type = TYPE;
  readonly attributes: Backend['attributes'];
  readonly tunnel: string;
  readonly tunnelPort: number;
  private readonly run: Run;
  private readonly log: BackendContext['log'];
  private readonly options: VxlanOptions;
  private readonly macAddress: string;
  private told = '';

  constructor({ run, log }: BackendContext, options: VxlanOptions, macAddress: string) {
    this.run = run;
    this.log = log;
    this.options = options;
    this.macAddress = macAddress;
    this.tunnel = nameOf(options);
    this.tunnelPort = options.port;
    this.attributes = { backendType: TYPE, backendData: vtepData(options.vni, macAddress) };
  }

  mtuOver(uplink: Uplink): number {
    return chooseVxlanMtu(this.options.underlayMtu, uplink, this.log);
  }

  wish({ uplink, mtu }: Pick<Site, 'uplink' | 'mtu'>): device.VxlanWish {
    const { vni, port, learning, groupPolicy } = this.options;
    // The interface's address, not the public one: the kernel sends from none that it does not
    // have, so behind 1:1 NAT nothing would leave.
    const local = formatAddress4(uplink.address);
    const details = { vni, link: uplink.name, local, port, learning, groupPolicy };
    return { name: this.tunnel, mtu, details };
  }

  async ensure(site: Site): Promise<readonly string[]> {
    const { run, tunnel, macAddress } = this;
    const made = await device.ensureDevice(run, this.wish(site), macAddress);
    const { set } = device.setSysctls(tunnel);
    const repairs = await device.ensureAddress(run, tunnel, site.own, macAddress);
    await this.tellAttached();
    return [...made, ...set, ...repairs];
  }

  /** What others put on it stays, for somebody may want it. */
  private async tellAttached(): Promise<void> {
    const link = await findLink(this.run, this.tunnel);
    const attached = link === undefined ? [] : attachmentsOf(link);
    const sentence = attached.length === 0 ? '' : warnOf(this.tunnel, attached);
    if (sentence !== '' && sentence !== this.told) this.log.warn(sentence);
    this.told = sentence;
  }

  async look({ own, uplink }: Site): Promise<DatapathSight> {
    const { run, tunnel } = this;
    const [uplinkRoutes, neighbours, forwarding, link] = await Promise.all([
      this.options.directRouting ? listRoutesOf(run, uplink.name) : [],
      listNeighbours(run, tunnel),
      listForwarding(run, tunnel),
      findLink(run, tunnel),
    ]);
    const entries = [
      ...readNeighbours(neighbours, own),
      ...readForwarding(forwarding, neighbours, own),
    ];
    // A device that was made anew takes what the one before refused.
    return { uplinkRoutes, entries, ground: `${link?.index}` };
  }

  reach({ subnet, publicAddress, backendData }: Lease): readonly WantedEntry[] | string {
    const vtep = readVtep(backendData);
    if (!vtep.ok) return vtep.reason;
    const { macAddress } = vtep;
    if (macAddress === this.macAddress) return `its VtepMAC ${macAddress} is this node's own`;
    const owner = formatPrefix4(subnet);
    const first = formatAddress4(subnet.network);
    const route = tunnelRoute(subnet, this.tunnel);
    return [
      { table: 'route', key: owner, value: route, owner },
      { table: 'neighbour', key: first, value: macAddress, owner },
      { table: 'forwarding', key: macAddress, value: formatAddress4(publicAddress), owner },
    ];
  }

  close(own: OwnLease): Promise<void> {
    return device.closeDevice(this.run, this.tunnel, own);
  }
}
