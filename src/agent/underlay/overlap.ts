/** What it means that Network and the underlay have addresses in common. Pure. */
import type { HostGround } from '../../lease/host/ground.ts';
import type { Link } from '../../linux/link.ts';
import {
  contains,
  formatAddress4,
  formatPrefix4,
  maskOf,
  overlaps,
  type Prefix4,
  parseAddress4,
  prefixContains,
} from '../../wire/address.ts';
import type { Uplink } from '../uplink.ts';
import { isOverlayDevice, ownerOf } from './candidates.ts';
import type { Overlay } from './ground.ts';

/** Networks to name as a way out, private ones (RFC 1918, RFC 6598) first. */
const OTHERS: readonly Prefix4[] = [
  { network: 0x0af40000, length: 16 },
  { network: 0xac1e0000, length: 16 },
  { network: 0xc0a88000, length: 17 },
  { network: 0x64600000, length: 16 },
];

/** The underlay's prefix that has addresses in common with Network; undefined without any. */
export function findOverlap(
  links: readonly Link[],
  { network }: Pick<Overlay, 'network'>,
  { name, owner = name, address, publicAddress }: Uplink,
): Prefix4 | undefined {
  const text = formatAddress4(address);
  const row = ownerOf(links, address, owner)?.addresses.find(({ local }) => local === text);
  const length = row?.prefixLength ?? 32;
  const link = { network: (address & maskOf(length)) >>> 0, length };
  if (overlaps(network, link)) return link;
  const known = { network: publicAddress, length: 32 };
  return contains(network, publicAddress) ? known : undefined;
}

/** What there is to do about it; no command, for each would cut this node off. */
export function cureOfOverlap(links: readonly Link[], tunnel: string): string {
  const taken = links
    .filter(({ name }) => !isOverlayDevice(name, tunnel))
    .flatMap(({ addresses }) => addresses)
    .filter(({ family }) => family === 'inet')
    .map(({ local, prefixLength: length }) => {
      return { network: (parseAddress4(local)! & maskOf(length)) >>> 0, length };
    });
  const free = OTHERS.find((other) => !taken.some((prefix) => overlaps(prefix, other)));
  const such = free === undefined ? '' : `, such as ${formatPrefix4(free)}`;
  return `give the overlay a Network without addresses of the underlay${such}`;
}

export function describeOverlap({ network }: Overlay, shared: Prefix4, { name }: Uplink): string {
  const [overlay, underlay] = [formatPrefix4(network), formatPrefix4(shared)];
  if (overlay === underlay) return `Network ${overlay} is the underlay's own, that of ${name}`;
  return prefixContains(network, shared)
    ? `Network ${overlay} contains the underlay ${underlay} of ${name}`
    : `Network ${overlay} is a part of the underlay ${underlay} of ${name}`;
}

/**
 * Whether the route of Network, no shorter than the link's own, takes what is on the link around
 * our address.
 */
export function takesNeighbours(
  { network }: Pick<Overlay, 'network'>,
  shared: Prefix4,
  { address }: Uplink,
): boolean {
  return prefixContains(shared, network) && contains(network, address);
}

/**
 * Which of the addresses that this node needs are taken from the underlay by the route of Network.
 * @param needs addresses by what they are, for the sentence
 */
export function takenFrom(
  ground: HostGround,
  { network, takesNetwork }: Overlay,
  needs: ReadonlyMap<number, string>,
): string[] {
  if (!takesNetwork) return [];
  const taken: string[] = [];
  for (const [address, what] of needs) {
    if (!contains(network, address) || ground.addresses.has(address)) continue;
    if (ground.byUnderlay.some((prefix) => contains(prefix, address))) continue;
    taken.push(`${what} ${formatAddress4(address)}`);
  }
  return taken;
}
