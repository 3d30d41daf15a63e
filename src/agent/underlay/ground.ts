/** From links and routes to what leases are judged against. Pure. */
import type { HostGround } from '../../lease/host/ground.ts';
import type { Link } from '../../linux/link.ts';
import { parseDestination, type Route } from '../../linux/route.ts';
import {
  contains,
  isLoopback4,
  maskOf,
  type Prefix4,
  parseAddress4,
  prefixContains,
} from '../../wire/address.ts';
import { isOverlayDevice } from './candidates.ts';

/** Longer prefixes have no broadcast address (RFC 3021). */
const LONGEST_WITH_BROADCAST = 30;

/** The part of the overlay that is judged for. */
export interface Overlay {
  readonly network: Prefix4;
  /** The node's own subnet. */
  readonly subnet: Prefix4;
  /** The device that takes packets of the overlay. */
  readonly tunnel: string;
  /** Whether all of Network is routed into it (`udp`), or each peer's subnet by itself. */
  readonly takesNetwork: boolean;
  /** Addresses that no lease's route may take away: of the lease store. */
  readonly kept?: readonly number[];
}

/**
 * @param routes of the local table, and those inside Network where the tunnel takes all of it
 * @param underlay our address on the underlay
 */
export function readGround(
  links: readonly Link[],
  routes: readonly Route[],
  overlay: Overlay,
  underlay: number,
): HostGround {
  const rows = links.flatMap(({ name, addresses }) =>
    addresses
      .filter(({ family }) => family === 'inet')
      .map(({ local, prefixLength }) => ({ name, address: parseAddress4(local)!, prefixLength })),
  );
  const broadcasts = new Set<number>();
  const onLinks = (overlay.kept ?? [])
    .filter((address) => contains(overlay.network, address))
    .map((network): Prefix4 => ({ network, length: 32 }));
  for (const { name, address, prefixLength: length } of rows) {
    const network = (address & maskOf(length)) >>> 0;
    if (length <= LONGEST_WITH_BROADCAST) {
      broadcasts.add(network).add((network | ~maskOf(length)) >>> 0);
    }
    if (isOverlayDevice(name, overlay.tunnel) || !contains(overlay.network, address)) continue;
    const link = { network, length };
    const whole = prefixContains(overlay.network, link) && length > overlay.network.length;
    onLinks.push(whole ? link : { network: address, length: 32 });
  }
  // What the links do not tell: an odd `brd`, the far end's prefix, a prefix that is all ours.
  const told = (type: string) =>
    routes
      .filter((route) => route.type === type)
      .flatMap(({ destination }) => parseDestination(destination) ?? []);
  const local = told('local').filter(({ network }) => !isLoopback4(network));
  const single = local.filter(({ length }) => length === 32);
  for (const { network } of told('broadcast')) broadcasts.add(network);
  return {
    addresses: new Set([
      ...rows.map(({ address }) => address),
      ...single.map(({ network }) => network),
    ]),
    held: local.filter(({ length }) => length < 32),
    broadcasts,
    links: onLinks,
    byUnderlay: overlay.takesNetwork ? past(routes, overlay) : pastSubnets(overlay, underlay),
  };
}

/** Without a route for the whole Network, an underlay inside it is reached as any other. */
function pastSubnets({ network }: Overlay, underlay: number): Prefix4[] {
  return contains(network, underlay) ? [network] : [];
}

/** Routes that win over the tunnel's, for they are longer, and lead to no pod. */
function past(routes: readonly Route[], { network, subnet, tunnel }: Overlay): Prefix4[] {
  return routes.flatMap((route) => {
    const prefix = parseDestination(route.destination);
    if (prefix === undefined || route.type !== 'unicast' || route.device === undefined) return [];
    if (isOverlayDevice(route.device, tunnel) || route.onlink) return [];
    const longer = prefixContains(network, prefix) && prefix.length > network.length;
    return longer && !prefixContains(subnet, prefix) ? [prefix] : [];
  });
}

/** Whether two looks found the same, so that nobody is judged anew for nothing. */
export function describeGround(ground: HostGround): string {
  const { addresses, held, broadcasts, links, byUnderlay } = ground;
  const sets = [[...addresses], [...broadcasts]];
  return JSON.stringify([...sets, held, links, byUnderlay]);
}
