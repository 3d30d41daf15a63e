/** What this host has itself, against which leases are judged. Addresses are host-order uint32. */
import { contains, overlaps, type Prefix4, prefixContains } from '../../wire/address.ts';

export interface HostGround {
  /** Of every interface: a datagram to one of them comes back to this host. */
  readonly addresses: ReadonlySet<number>;
  /** Prefixes that are routed to the host itself, all of them, without being its addresses. */
  readonly held?: readonly Prefix4[];
  /** Network and broadcast addresses of its links (RFC 922 §7): never one other node. */
  readonly broadcasts: ReadonlySet<number>;
  /** Prefixes inside Network that are on its links: no lease may take them away. */
  readonly links: readonly Prefix4[];
  /** Prefixes inside Network that are routed by the underlay all the same. */
  readonly byUnderlay: readonly Prefix4[];
}

/** Whether the host itself takes what is sent to an address. */
export function isOwn({ addresses, held = [] }: HostGround, address: number): boolean {
  return addresses.has(address) || held.some((prefix) => contains(prefix, address));
}

/** Whether a subnet has addresses that are on this host's links, other than those of its pods. */
export function takesLink(ground: HostGround, subnet: Prefix4, own: Prefix4 | undefined): boolean {
  return ground.links.some((link) => {
    return overlaps(link, subnet) && !(own !== undefined && prefixContains(own, link));
  });
}

/** Whether packets to an address inside Network leave by the underlay. */
export function goesByUnderlay(ground: HostGround | undefined, address: number): boolean {
  return ground?.byUnderlay.some((prefix) => contains(prefix, address)) === true;
}
