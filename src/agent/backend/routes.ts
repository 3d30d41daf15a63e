/** Which routes are a backend's own, and which peers are on the uplink's link. */
import type { Lease } from '../../lease/lease.ts';
import { runBatch } from '../../linux/batch.ts';
import type { Run } from '../../linux/command.ts';
import { cureOfRoute, describeRoute, listRoutesWithin, type Route } from '../../linux/route.ts';
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
import { VXLAN_NAME } from '../underlay/candidates.ts';
import type { OwnLease } from './backend.ts';
import type { FoundEntry } from './reconcile/plan.ts';

/** Where routes to peers are looked for, and what they look like. */
export type Ground = Pick<OwnLease, 'subnet' | 'network'>;

/**
 * Whether a route was set for a peer, by us, by an earlier run, or by flanneld: protocol boot,
 * metric 0, by a gateway, to a subnet of a lease's size inside Network, through the uplink or,
 * onlink, through a vxlan device of flannel's. A route that lacks any of these marks is somebody
 * else's.
 */
export function isPeerRoute(route: Route, ground: Ground, uplink: string): boolean {
  if (!mayBePeerRoute(route, ground)) return false;
  return route.onlink ? VXLAN_NAME.test(route.device!) : route.device === uplink;
}

function mayBePeerRoute(route: Route, ground: Ground): boolean {
  if (route.gateway === undefined || route.device === undefined || !isPlain(route)) return false;
  const destination = parsePrefix4(route.destination);
  if (destination === undefined || destination.length !== ground.subnet.length) return false;
  return prefixContains(ground.network, destination);
}

/**
 * Compiles `isPeerRoute`, which knows the uplink in force, to one that knows an earlier uplink's
 * routes too: they lead to a lease's subnet by that lease's own PublicIP, through whatever device.
 */
export function compileIsOurs(
  ground: Ground,
  uplink: string,
  leases: readonly Lease[],
): (route: Route) => boolean {
  const gateways = new Map(
    leases.map(({ subnet, publicAddress }) => [formatPrefix4(subnet), publicAddress]),
  );
  return (route) => {
    if (isPeerRoute(route, ground, uplink)) return true;
    const gateway = gateways.get(route.destination);
    if (gateway === undefined || route.onlink || !mayBePeerRoute(route, ground)) return false;
    return parseAddress4(route.gateway!) === gateway;
  };
}

function isPlain({ type, protocol, metric, mtu, tos, source, multipath }: Route): boolean {
  const bare = tos === undefined && source === undefined && mtu === undefined;
  return bare && !multipath && type === 'unicast' && protocol === 'boot' && metric === 0;
}

/**
 * Routes that compete with ours, which have metric 0 and serve all types of service.
 * @param kept addresses that have to stay reachable
 */
export function readRoutes(
  routes: readonly Route[],
  isOurs: (route: Route) => boolean,
  kept: readonly number[] = [],
) {
  return routes
    .filter(({ metric, tos }) => metric === 0 && tos === undefined)
    .map(
      (route): FoundEntry => ({
        table: 'route',
        key: route.destination,
        value: routeValue(route),
        ours: isOurs(route),
        text: describeRoute(route),
        cure: cureOfRoute(route, kept),
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
  const ours = routes.filter((route) => {
    return isPeerRoute(route, ground, uplink) && !mayBeUnderlays(route, ground);
  });
  const lines = ours.map((route) => `route delete ${route.destination} ${routeValue(route)}`);
  // A route that went by itself in between is gone as well.
  await runBatch(run, 'ip', lines);
  return ours.map(({ destination }) => destination);
}

/** Where the underlay is inside Network, a route to a part of it has the marks of a peer's. */
function mayBeUnderlays({ gateway, onlink }: Route, { network }: Ground): boolean {
  return !onlink && contains(network, parseAddress4(gateway ?? '') ?? 0);
}

/** What of a node's life concerns a backend. */
export interface Concern {
  /** Devices whose links, addresses and routes do. */
  readonly devices: readonly string[];
  /** The device whose neighbours do; ARP's on any other come and go all day. */
  readonly neighboursOf?: string | undefined;
}

/**
 * Whether a line of `ip monitor label` tells of a device, or of a subnet of other nodes.
 */
export function isRelevant(line: string, ground: Ground, concern: Concern): boolean {
  const { devices, neighboursOf } = concern;
  if (line.startsWith('[NEIGH]')) return neighboursOf !== undefined && names(line, neighboursOf);
  if (devices.some((device) => names(line, device))) return true;
  const address = parseAddress4(/\d+\.\d+\.\d+\.\d+/.exec(line)?.[0] ?? '');
  if (address === undefined || contains(ground.subnet, address)) return false;
  return contains(ground.network, address);
}

/** Whether a line has a device's name as a whole word: eth0 is inside of eth01 and eth0.7. */
function names(line: string, device: string): boolean {
  for (let at = line.indexOf(device); at >= 0; at = line.indexOf(device, at + 1)) {
    if (isEdge(line[at - 1]) && isEdge(line[at + device.length])) return true;
  }
  return false;
}

/** `3: flannel.1@eth0: <...>`, and a backslash for a line's end (ip(8), -oneline). */
function isEdge(character: string | undefined): boolean {
  return character === undefined || /[\s:@\\]/.test(character);
}
