/** Which routes are a backend's own, and which peers are on the uplink's link. */
import { runBatch } from '../../linux/batch.ts';
import type { Run } from '../../linux/command.ts';
import { describeRoute, listRoutesWithin, type Route } from '../../linux/route.ts';
import {
  contains,
  formatAddress4,
  formatPrefix4,
  maskOf,
  type Prefix4,
  parseAddress4,
  parsePrefix4,
  prefixContains,
} from '../../wire/address.ts';
import type { OwnLease } from './backend.ts';
import type { FoundEntry } from './reconcile/plan.ts';

/** Names that flannel gives vxlan devices. */
export const VXLAN_NAME = /^flannel\.\d+$/;

/** Where routes to peers are looked for, and what they look like. */
export type Ground = Pick<OwnLease, 'subnet' | 'network'>;

/**
 * Whether a route was set for a peer, by us, by an earlier run, or by flanneld: protocol boot,
 * metric 0, by a gateway, to a subnet of a lease's size inside Network, through the uplink or,
 * onlink, through a vxlan device of flannel's. A route that lacks any of these marks is somebody
 * else's.
 */
export function isPeerRoute(route: Route, ground: Ground, uplink: string): boolean {
  const { gateway, device } = route;
  if (gateway === undefined || device === undefined || !isPlain(route)) return false;
  const destination = parsePrefix4(route.destination);
  if (destination === undefined || destination.length !== ground.subnet.length) return false;
  if (!prefixContains(ground.network, destination)) return false;
  return route.onlink ? VXLAN_NAME.test(device) : device === uplink;
}

function isPlain({ type, protocol, metric, mtu, tos, source, multipath }: Route): boolean {
  const bare = tos === undefined && source === undefined && mtu === undefined;
  return bare && !multipath && type === 'unicast' && protocol === 'boot' && metric === 0;
}

/** Routes that compete with ours, which have metric 0 and serve all types of service. */
export function readRoutes(routes: readonly Route[], isOurs: (route: Route) => boolean) {
  return routes
    .filter(({ metric, tos }) => metric === 0 && tos === undefined)
    .map(
      (route): FoundEntry => ({
        table: 'route',
        key: route.destination,
        value: routeValue(route),
        ours: isOurs(route),
        text: describeRoute(route),
      }),
    );
}

function routeValue({ type, gateway, device, onlink, multipath }: Route): string {
  const hop = gateway === undefined ? '' : `via ${gateway} `;
  const kind = multipath ? 'multipath ' : type === 'unicast' ? '' : `${type} `;
  return `${kind}${hop}dev ${device ?? 'none'}${onlink ? ' onlink' : ''}`;
}

/** Next hop of a peer's subnet through the tunnel: its own first address, taken without asking. */
export function tunnelRoute(subnet: Prefix4, device: string): string {
  return `via ${formatAddress4(subnet.network)} dev ${device} onlink`;
}

/** Next hop of a peer's subnet by the peer itself, a neighbour on the link. */
export function gatewayRoute(publicAddress: number, uplink: string): string {
  return `via ${formatAddress4(publicAddress)} dev ${uplink}`;
}

/**
 * Compiles a device's routes to a test whether an address is on its link: the longest prefix that
 * covers it has no gateway. Routes inside Network are left out, for they lead to pods.
 */
export function compileOnLink(
  routes: readonly Route[],
  network: Prefix4,
): (address: number) => boolean {
  const direct = new Map<number, Map<number, boolean>>();
  for (const { destination, type, gateway } of routes) {
    const prefix = readPrefix(destination);
    if (prefix === undefined || prefixContains(network, prefix) || type !== 'unicast') continue;
    const row = direct.get(prefix.length) ?? new Map<number, boolean>();
    direct.set(prefix.length, row);
    // The first of several for one prefix is in force.
    if (!row.has(prefix.network)) row.set(prefix.network, gateway === undefined);
  }
  const lengths = [...direct.keys()].sort((one, other) => other - one);
  return (address) => {
    for (const length of lengths) {
      const found = direct.get(length)!.get((address & maskOf(length)) >>> 0);
      if (found !== undefined) return found;
    }
    return false;
  };
}

function readPrefix(destination: string): Prefix4 | undefined {
  if (destination === 'default') return { network: 0, length: 0 };
  const host = parseAddress4(destination);
  return host === undefined ? parsePrefix4(destination) : { network: host, length: 32 };
}

/** What `onLink` depends on, as text: whatever changes it changes the text. */
export function describeGround(routes: readonly Route[], network: Prefix4): string {
  return routes
    .filter(({ destination }) => {
      const prefix = readPrefix(destination);
      return prefix !== undefined && !prefixContains(network, prefix);
    })
    .map(describeRoute)
    .join('\n');
}

/**
 * Removes every route that bears a peer's marks, for a backend that reaches peers without.
 * @returns the destinations
 */
export async function removePeerRoutes(
  run: Run,
  ground: Ground,
  uplink: string,
): Promise<string[]> {
  const routes = await listRoutesWithin(run, formatPrefix4(ground.network));
  const ours = routes.filter((route) => isPeerRoute(route, ground, uplink));
  const lines = ours.map((route) => `route delete ${route.destination} ${routeValue(route)}`);
  // A route that went by itself in between is gone as well.
  await runBatch(run, 'ip', lines);
  return ours.map(({ destination }) => destination);
}

/** Whether a line of `ip monitor` tells of one of the devices, or of a subnet of other nodes. */
export function isRelevant(line: string, ground: Ground, devices: readonly string[]): boolean {
  if (devices.some((device) => line.includes(device))) return true;
  const address = parseAddress4(/\d+\.\d+\.\d+\.\d+/.exec(line)?.[0] ?? '');
  if (address === undefined || contains(ground.subnet, address)) return false;
  return contains(ground.network, address);
}
