import type { Run } from '../linux/command.ts';
import { type Link, listLinks } from '../linux/link.ts';
import { listRoutes, lookUpRoute, type Route } from '../linux/route.ts';
import { formatAddress4, parseAddress4 } from '../wire/address.ts';
import { Fault } from './fault.ts';
import { isOverlayDevice, mayBeUnderlay, ownerOf, usableAddresses } from './underlay/candidates.ts';

/** What the operator said about the way to peers; all may be left out. */
export interface UplinkWishes {
  readonly interfaces: readonly string[];
  readonly interfacePatterns: readonly RegExp[];
  readonly interfaceCanReach: number | undefined;
  readonly publicAddress: number | undefined;
  /** The overlay's own device (--dev), which is never the underlay. */
  readonly device?: string;
}

/** The underlay interface, and our address there and as peers see it (host-order uint32). */
export interface Uplink {
  /** The device that packets to peers leave by. */
  readonly name: string;
  /** The one that has the address, where a route's `src` lies on another: on `lo`, say. */
  readonly owner?: string;
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
 * @param remembered the address chosen before under the same wishes, which stays chosen while any
 * interface has it
 * @throws Fault that names everything that was tried
 */
export async function chooseUplink(
  run: Run,
  wishes: UplinkWishes,
  remembered?: number,
): Promise<Uplink> {
  const all = await listLinks(run);
  const links = all.filter(({ name }) => !isOverlayDevice(name, wishes.device));
  const tried: string[] = [];
  const pick =
    (await byWish(run, links, wishes, tried)) ?? (await unasked(run, links, wishes, tried));
  const chosen = keep(links, pick, remembered) ?? pick;
  if (chosen === undefined) throw noUplink(tried, links);
  const { link, reason } = chosen;
  if (link.mtu === 0) throw new Fault('environment', `underlay ${link.name} has MTU 0`);
  const address = parseAddress4(chosen.address)!;
  const owner = ownerOf(links, address, link.name)?.name ?? link.name;
  return {
    name: link.name,
    ...(owner === link.name ? {} : { owner }),
    mtu: link.mtu,
    address,
    publicAddress: wishes.publicAddress ?? address,
    reason,
  };
}

function keep(
  links: readonly Link[],
  pick: Pick | undefined,
  remembered: number | undefined,
): Pick | undefined {
  if (remembered === undefined || !mayBeUnderlay(remembered)) return undefined;
  const address = formatAddress4(remembered);
  if (pick?.address === address) return undefined;
  const link = ownerOf(links, remembered);
  if (link === undefined) return undefined;
  const now = pick === undefined ? 'nothing would be' : `now ${pick.address} would be`;
  return { link, address, reason: `chosen before; ${now}${pick ? `, by ${pick.reason}` : ''}` };
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
  const link = named(links, wishes.publicAddress, `--public-ip ${wanted}`, tried);
  if (link !== undefined) return { link, address: wanted, reason: `owns --public-ip ${wanted}` };
  return undefined;
}

function byNameOrAddress(
  links: readonly Link[],
  wanted: string,
  tried: string[],
): Pick | undefined {
  const asAddress = parseAddress4(wanted);
  if (asAddress !== undefined) {
    const link = named(links, asAddress, `--iface ${wanted}`, tried);
    return link && { link, address: wanted, reason: `--iface ${wanted}` };
  }
  const link = links.find((candidate) => candidate.name === wanted);
  if (link === undefined) {
    tried.push(`--iface ${wanted} does not exist`);
    return undefined;
  }
  const address = usableAddresses(link)[0];
  if (address !== undefined) return { link, address: address.local, reason: `--iface ${wanted}` };
  tried.push(`--iface ${wanted} has no IPv4 address that peers can send to`);
  return undefined;
}

/** The owner of an address that the operator named. */
function named(
  links: readonly Link[],
  address: number,
  option: string,
  tried: string[],
): Link | undefined {
  const link = mayBeUnderlay(address) ? ownerOf(links, address) : undefined;
  if (link !== undefined) return link;
  const nat = option.startsWith('--public-ip') ? ' (behind NAT, give --iface too)' : '';
  tried.push(
    mayBeUnderlay(address)
      ? `${option} is on no interface${nat}`
      : `${option} is no address that peers can send to`,
  );
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
  tried.push(`${reason} matches no interface with an IPv4 address that peers can send to`);
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
  const refused = whyNotBy(route, link, address);
  if (refused === undefined) {
    return { link: link!, address: address!, reason: `--iface-can-reach ${target}` };
  }
  tried.push(`--iface-can-reach ${target}: ${refused}`);
  return undefined;
}

function whyNotBy(route: Route | undefined, link: Link | undefined, address: string | undefined) {
  if (route === undefined) return 'no route there';
  if (route.type === 'local') return 'this host itself has that address';
  if (link === undefined) return `the route there leads into ${route.device}, the overlay itself`;
  const known = address === undefined ? undefined : parseAddress4(address);
  if (known !== undefined && mayBeUnderlay(known)) return undefined;
  return `${link.name} has no IPv4 address that peers can send to`;
}

async function byDefaultRoute(
  run: Run,
  links: readonly Link[],
  tried: string[],
): Promise<Pick | undefined> {
  const routes = await listRoutes(run, 'default');
  const byRoute = routes.map((route) => links.find(({ name }) => name === route.device));
  const link = byRoute.find((found) => found !== undefined);
  if (link === undefined) {
    tried.push('no --iface given, and there is no default route');
    return undefined;
  }
  const address = usableAddresses(link)[0];
  if (address !== undefined) return { link, address: address.local, reason: 'default route' };
  tried.push(`${link.name} of the default route has no IPv4 address that peers can send to`);
  return undefined;
}
