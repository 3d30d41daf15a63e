import type { Run } from '../linux/command.ts';
import { type Link, type LinkAddress, listLinks } from '../linux/link.ts';
import { listRoutes, lookUpRoute } from '../linux/route.ts';
import { formatAddress4, parseAddress4 } from '../wire/address.ts';
import { Fault } from './fault.ts';

/** What the operator said about the way to peers; all may be left out. */
export interface UplinkWishes {
  readonly interfaces: readonly string[];
  readonly interfacePatterns: readonly RegExp[];
  readonly interfaceCanReach: number | undefined;
  readonly publicAddress: number | undefined;
}

/** The underlay interface, and our address there and as peers see it (host-order uint32). */
export interface Uplink {
  readonly name: string;
  readonly mtu: number;
  readonly address: number;
  readonly publicAddress: number;
  /** Why this one, for the log. */
  readonly reason: string;
}

interface Pick {
  readonly link: Link;
  readonly address: string;
  readonly reason: string;
}

/**
 * Chooses the underlay as flannel does: each --iface in turn, each --iface-regex, then
 * --iface-can-reach; without any of these the owner of --public-ip, else the interface of the
 * first default route.
 * @throws Fault that names everything that was tried
 */
export async function chooseUplink(run: Run, wishes: UplinkWishes): Promise<Uplink> {
  const links = await listLinks(run);
  const tried: string[] = [];
  const pick =
    (await byWish(run, links, wishes, tried)) ?? (await unasked(run, links, wishes, tried));
  if (pick === undefined) throw noUplink(tried, links);
  if (pick.link.mtu === 0) throw new Fault('environment', `underlay ${pick.link.name} has MTU 0`);
  const address = parseAddress4(pick.address)!;
  return {
    name: pick.link.name,
    mtu: pick.link.mtu,
    address,
    publicAddress: wishes.publicAddress ?? address,
    reason: pick.reason,
  };
}

function noUplink(tried: readonly string[], links: readonly Link[]): Fault {
  const there = links.map((link) => {
    const addresses = usableAddresses(link).map((row) => row.local);
    return `${link.name} (${addresses.join(', ') || 'no IPv4 address'})`;
  });
  return new Fault(
    'environment',
    `no underlay interface: ${tried.join('; ')}. Present: ${there.join(', ')}. ` +
      'Name one with --iface',
  );
}

async function byWish(
  run: Run,
  links: readonly Link[],
  wishes: UplinkWishes,
  tried: string[],
): Promise<Pick | undefined> {
  for (const wanted of wishes.interfaces) {
    const pick = byNameOrAddress(links, wanted, tried);
    if (pick !== undefined) return pick;
  }
  for (const pattern of wishes.interfacePatterns) {
    const pick = byPattern(links, pattern, tried);
    if (pick !== undefined) return pick;
  }
  if (wishes.interfaceCanReach === undefined) return undefined;
  return byRouteTo(run, links, formatAddress4(wishes.interfaceCanReach), tried);
}

/** Only where none of the three --iface options was given, as in flannel. */
async function unasked(
  run: Run,
  links: readonly Link[],
  wishes: UplinkWishes,
  tried: string[],
): Promise<Pick | undefined> {
  if (tried.length > 0) return undefined;
  if (wishes.publicAddress === undefined) return byDefaultRoute(run, links, tried);
  const wanted = formatAddress4(wishes.publicAddress);
  const link = ownerOf(links, wanted);
  if (link !== undefined) return { link, address: wanted, reason: `owns --public-ip ${wanted}` };
  tried.push(`--public-ip ${wanted} is on no interface (behind NAT, give --iface too)`);
  return undefined;
}

function byNameOrAddress(
  links: readonly Link[],
  wanted: string,
  tried: string[],
): Pick | undefined {
  if (parseAddress4(wanted) !== undefined) {
    const link = ownerOf(links, wanted);
    if (link !== undefined) return { link, address: wanted, reason: `--iface ${wanted}` };
    tried.push(`--iface ${wanted} is on no interface`);
    return undefined;
  }
  const link = links.find((candidate) => candidate.name === wanted);
  if (link === undefined) {
    tried.push(`--iface ${wanted} does not exist`);
    return undefined;
  }
  const address = usableAddresses(link)[0];
  if (address !== undefined) return { link, address: address.local, reason: `--iface ${wanted}` };
  tried.push(`--iface ${wanted} has no IPv4 address`);
  return undefined;
}

/** All addresses of all interfaces first, then names: flannel's order. */
function byPattern(links: readonly Link[], pattern: RegExp, tried: string[]): Pick | undefined {
  const reason = `--iface-regex ${pattern.source}`;
  for (const link of links) {
    const address = usableAddresses(link).find((row) => pattern.test(row.local));
    if (address !== undefined) return { link, address: address.local, reason };
  }
  for (const link of links) {
    const address = usableAddresses(link)[0];
    if (address !== undefined && pattern.test(link.name)) {
      return { link, address: address.local, reason };
    }
  }
  tried.push(`${reason} matches no interface with an IPv4 address`);
  return undefined;
}

async function byRouteTo(
  run: Run,
  links: readonly Link[],
  target: string,
  tried: string[],
): Promise<Pick | undefined> {
  const route = await lookUpRoute(run, target);
  const link = links.find((candidate) => candidate.name === route?.device);
  const address = route?.source ?? (link && usableAddresses(link)[0]?.local);
  if (link !== undefined && address !== undefined) {
    return { link, address, reason: `--iface-can-reach ${target}` };
  }
  tried.push(`--iface-can-reach ${target}: no route there`);
  return undefined;
}

async function byDefaultRoute(
  run: Run,
  links: readonly Link[],
  tried: string[],
): Promise<Pick | undefined> {
  const route = (await listRoutes(run, 'default')).find((row) => row.device !== undefined);
  const link = links.find((candidate) => candidate.name === route?.device);
  if (link === undefined) {
    tried.push('no --iface given, and there is no default route');
    return undefined;
  }
  const address = usableAddresses(link)[0];
  if (address !== undefined) return { link, address: address.local, reason: 'default route' };
  tried.push(`${link.name} of the default route has no IPv4 address`);
  return undefined;
}

function ownerOf(links: readonly Link[], address: string): Link | undefined {
  return links.find((link) =>
    link.addresses.some((row) => row.family === 'inet' && row.local === address),
  );
}

/** Addresses a node may be known by, best first: global, permanent; never deprecated. */
export function usableAddresses(link: Link): LinkAddress[] {
  const rank = (row: LinkAddress) =>
    (row.scope === 'global' ? 0 : 4) + (row.dynamic ? 2 : 0) + (row.temporary ? 1 : 0);
  return link.addresses
    .filter((row) => row.family === 'inet' && !row.deprecated)
    .sort((a, b) => rank(a) - rank(b));
}
