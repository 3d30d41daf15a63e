import { lookup } from 'node:dns/promises';
import type { Config } from '../../config.ts';
import type { Run } from '../../linux/command.ts';
import { listRoutesOf } from '../../linux/route.ts';
import { formatPrefix4, parseAddress4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import type { Uplink } from '../uplink.ts';
import type { Overlay } from './ground.ts';
import { lookAtGround } from './ground-watch.ts';
import {
  cureOfOverlap,
  describeOverlap,
  findOverlap,
  takenFrom,
  takesNeighbours,
} from './overlap.ts';

/** What the node cannot do without, as hosts or URLs: its lease store. */
export function lifelines({ leases, etcdEndpoints }: Config): readonly string[] {
  return leases === undefined ? etcdEndpoints : [];
}

/**
 * Looks before any route is set, for afterwards it would be too late to ask.
 * @param needs hosts or addresses of what the node cannot do without: its lease store
 * @throws Fault for a Network that would take them, or the way to all peers, from the underlay
 */
export async function requireApart(
  run: Run,
  overlay: Overlay,
  uplink: Uplink,
  needs: readonly string[],
): Promise<void> {
  if (!overlay.takesNetwork) return;
  const { ground, links } = await lookAtGround(run, overlay, uplink);
  const shared = findOverlap(links, overlay, uplink);
  const needed = new Map([...(await gatewaysOf(run, uplink)), ...(await addressesOf(needs))]);
  const taken = takenFrom(ground, overlay, needed);
  const swallowed = shared !== undefined && takesNeighbours(overlay, shared, uplink);
  if (taken.length === 0 && !swallowed) return;
  const what =
    shared === undefined
      ? `Network ${formatPrefix4(overlay.network)} has addresses that this node needs`
      : describeOverlap(overlay, shared, uplink);
  const loss = swallowed
    ? 'no node on the link with an address of it could be reached'
    : `it would cut off ${taken.join(', ')}`;
  throw new Fault('configuration', `${what}: ${loss}; ${cureOfOverlap(links, overlay.tunnel)}`);
}

/** Next hops of the underlay's routes: whatever is beyond them goes with them. */
async function gatewaysOf(run: Run, { name }: Uplink): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (const { gateway } of await listRoutesOf(run, name)) {
    const address = parseAddress4(gateway ?? '');
    if (address !== undefined) found.set(address, 'the gateway');
  }
  return found;
}

/** Addresses of endpoints; a name that is not known now is none. */
export async function addressesOf(needs: readonly string[]): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (const url of needs) {
    const host = URL.canParse(url) ? new URL(url).hostname : url;
    const known = parseAddress4(host);
    const rows =
      known === undefined ? await lookup(host, { all: true, family: 4 }).catch(() => []) : [];
    for (const address of [known, ...rows.map((row) => parseAddress4(row.address))]) {
      if (address !== undefined) found.set(address, 'the lease store at');
    }
  }
  return found;
}
