/** Which addresses of this host peers could send to, and which of a link's is taken. Pure. */
import type { Link, LinkAddress } from '../../linux/link.ts';
import {
  formatAddress4,
  isLinkLocal4,
  isLoopback4,
  isMulticast4,
  isThisNetwork4,
  isUnspecifiedOrBroadcast4,
  parseAddress4,
} from '../../wire/address.ts';

/** Names that flannel gives vxlan devices. */
export const VXLAN_NAME = /^flannel\.\d+$/;

/**
 * Ranges in the order in which flannel takes them (`GetInterfaceIP4Addrs` of its `pkg/ip`): global
 * unicast, then link-local unicast (RFC 3927), and nothing else. Infinity for the rest.
 */
function rangeOf(address: number): number {
  const never =
    isThisNetwork4(address) ||
    isLoopback4(address) ||
    isMulticast4(address) ||
    isUnspecifiedOrBroadcast4(address);
  if (never) return Number.POSITIVE_INFINITY;
  return isLinkLocal4(address) ? 1 : 0;
}

/** Whether peers can send to an address at all, once some interface has it. */
export function mayBeUnderlay(address: number): boolean {
  return Number.isFinite(rangeOf(address));
}

/**
 * IPv4 addresses of a link that a node may be known by, best first: by range, then by permanence.
 * What a lifetime ends (DHCP) comes after what does not, what is deprecated last; equals stay in
 * the kernel's order. The scope says nothing: flannel does not look at it either.
 */
export function usableAddresses(link: Link): LinkAddress[] {
  const rows = link.addresses.filter(({ family, local }) => {
    return family === 'inet' && mayBeUnderlay(parseAddress4(local) ?? 0);
  });
  return rows.sort((one, other) => rank(one) - rank(other));
}

function rank({ local, deprecated, dynamic, temporary }: LinkAddress): number {
  const range = rangeOf(parseAddress4(local)!);
  return 8 * range + 4 * Number(deprecated) + 2 * Number(dynamic) + Number(temporary);
}

/** The overlay's own ends on this host: no peer is reached by them. */
export function isOverlayDevice(name: string, tunnel: string | undefined): boolean {
  return name === tunnel || VXLAN_NAME.test(name);
}

/** The link that has an address, in whatever state; one of that name first. */
export function ownerOf(links: readonly Link[], address: number, name?: string): Link | undefined {
  const text = formatAddress4(address);
  const owners = links.filter(({ addresses }) =>
    addresses.some(({ family, local }) => family === 'inet' && local === text),
  );
  return owners.find((link) => link.name === name) ?? owners[0];
}
