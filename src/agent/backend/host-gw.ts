import type { Lease } from '../../lease/lease.ts';
import type { Run } from '../../linux/command.ts';
import { findLink } from '../../linux/link.ts';
import { listRoutesOf } from '../../linux/route.ts';
import { formatAddress4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import type { Uplink } from '../uplink.ts';
import type { Backend, BackendContext } from './backend.ts';
import { type Datapath, type DatapathSight, KernelBackend, type Site } from './kernel.ts';

const TYPE = 'host-gw';

/**
 * flannel's `host-gw`: a route to each peer's subnet by the peer itself, a neighbour on the link;
 * no device, no header, the uplink's MTU.
 * @throws Fault if peers see this node under another address than its interface has
 */
export async function createHostGateway(context: BackendContext): Promise<Backend> {
  return new KernelBackend(context, new HostGateway(context.run));
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

class HostGateway implements Datapath {
  readonly type = TYPE;
  readonly attributes = { backendType: TYPE };
  readonly tunnel = undefined;
  private readonly run: Run;

  constructor(run: Run) {
    this.run = run;
  }

  mtuOver(uplink: Uplink): number {
    refuseNat(uplink);
    return uplink.mtu;
  }

  /** Without the uplink no route stands; that is one trouble, and not one a peer. */
  async ensure({ uplink: { name } }: Site): Promise<readonly string[]> {
    const link = await findLink(this.run, name);
    if (link === undefined) throw new Fault('environment', `uplink ${name} is gone`);
    if (link.up) return [];
    throw new Fault('environment', `uplink ${name} is down: ip link set ${name} up`);
  }

  async look({ uplink }: Site): Promise<DatapathSight> {
    const uplinkRoutes = await listRoutesOf(this.run, uplink.name, 'link');
    return { uplinkRoutes, entries: [], ground: '' };
  }

  reach({ publicAddress }: Lease, { uplink }: Site): string {
    return (
      `its node ${formatAddress4(publicAddress)} is not on the link of ${uplink.name}; host-gw ` +
      "reaches no node behind a router: choose Backend Type 'vxlan' with DirectRouting, or 'udp'"
    );
  }

  async close(): Promise<void> {}
}
