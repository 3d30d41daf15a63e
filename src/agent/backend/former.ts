import type { BackendConfig } from '../../lease/network/backend.ts';
import type { Run } from '../../linux/command.ts';
import { deleteLink, type Link, listLinks } from '../../linux/link.ts';
import { listForwarding, listNeighbours } from '../../linux/neighbour.ts';
import { formatAddress4, formatPrefix4 } from '../../wire/address.ts';
import { removeOwnBlackhole } from '../node/blackhole.ts';
import { isDeviceOfFlannel } from './leftovers.ts';
import { applyStep, taskOf } from './reconcile/apply.ts';
import { makePlan } from './reconcile/plan.ts';
import { type Ground, removePeerRoutes } from './routes.ts';
import { readForwarding, readNeighbours } from './vxlan/entries.ts';
import { readVxlanOptions } from './vxlan/options.ts';

/** What the next life goes on with. */
export interface Successor {
  readonly backend: BackendConfig;
  /** The uplink's name. */
  readonly uplink: string;
  /** Name of the TUN, --dev. */
  readonly tunnel: string;
}

/**
 * Removes what an earlier life, weft's or flanneld's, set for a network that this node is in no
 * more, as far as it bears our marks: routes to peers, the blackhole route, and devices with the
 * single address that the subnet gave them, with neighbours and forwarding entries. A device that
 * somebody holds stays; so does one that is gone on with, without what was set on it.
 * @param former the network, and the subnet that was held in it
 * @returns what went, in words
 * @throws CommandError; Fault for options of the backend
 */
export async function clearFormerNetwork(
  run: Run,
  former: Ground,
  { backend, uplink, tunnel }: Successor,
): Promise<string[]> {
  const keep = backend.type === 'vxlan' && `flannel.${readVxlanOptions(backend.options).vni}`;
  // Whoever moves packets beside `alloc` may set routes like ours.
  const routes = backend.type === 'alloc' ? [] : await removePeerRoutes(run, former, uplink);
  const gone = routes.map((route) => `route ${route}`);
  for (const link of await listLinks(run)) {
    if (!isOf(link, former, tunnel)) continue;
    if (link.name === keep) await clearDevice(run, link.name, former);
    else await deleteLink(run, link.name);
    gone.push(link.name === keep ? `what was set on ${link.name}` : `device ${link.name}`);
  }
  if (await removeOwnBlackhole(run, former.subnet)) {
    gone.push(`blackhole route ${formatPrefix4(former.subnet)}`);
  }
  return gone;
}

/** By name, kind, and the very address that the subnet gave it. */
function isOf(link: Link, { subnet }: Ground, tunnel: string): boolean {
  const isTunnel = link.name === tunnel && link.tun?.mode === 'tun' && link.tun.queues === 0;
  if (!isTunnel && !isDeviceOfFlannel(link)) return false;
  const base = formatAddress4(subnet.network);
  return link.addresses.some(({ local, prefixLength }) => local === base && prefixLength === 32);
}

async function clearDevice(run: Run, name: string, former: Ground): Promise<void> {
  const [neighbours, forwarding] = [
    await listNeighbours(run, name),
    await listForwarding(run, name),
  ];
  const found = [
    ...readNeighbours(neighbours, former),
    ...readForwarding(forwarding, neighbours, former),
  ];
  for (const step of makePlan([], found).steps) {
    await applyStep(
      run,
      step.map((operation) => taskOf(operation, name)),
    );
  }
  const address = `${formatAddress4(former.subnet.network)}/32`;
  await run(['ip', 'address', 'delete', address, 'dev', name]);
}
