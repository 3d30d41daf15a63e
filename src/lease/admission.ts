import type { Prefix4 } from '../wire/address.ts';
import {
  contains,
  isLinkLocal4,
  isLoopback4,
  isMulticast4,
  isThisNetwork4,
  isUnspecifiedOrBroadcast4,
  prefixContains,
} from '../wire/address.ts';
import { goesByUnderlay, type HostGround, isOwn, takesLink } from './host/ground.ts';
import type { Lease } from './lease.ts';

/** Why an entry of the source is no peer; the label values of the gauge, a closed set. */
export const REFUSAL_REASONS = [
  /** The key is not a subnet key. */
  'bad_key',
  /** The value is not a lease value. */
  'bad_value',
  /** The subnet is not inside our network. */
  'outside_network',
  /** Somebody else claims our subnet or a part of it. */
  'own_subnet_elsewhere',
  /** The subnet has addresses that are on this host's own links. */
  'local_subnet',
  /** The node is reached by a backend that does not speak this one's protocol. */
  'other_backend',
  /** Nothing can be sent to the PublicIP, or only through the overlay itself: see `whyBad`. */
  'bad_public_address',
  /** Our own PublicIP holds another subnet: sending there would be sending to ourselves. */
  'own_public_address',
  /** A newer entry holds the same subnet (the two key forms of one node, for example). */
  'duplicate_subnet',
] as const;

export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** One slot a reason, all at 0. */
export function noRefusals(): Record<RefusalReason, number> {
  const slots = REFUSAL_REASONS.map((reason) => [reason, 0]);
  return Object.fromEntries(slots) as Record<RefusalReason, number>;
}

/** Tells a reason from the verdicts that are none. */
export function isRefusal(
  verdict: 'peer' | 'own' | RefusalReason | null,
): verdict is RefusalReason {
  return verdict !== null && verdict !== 'peer' && verdict !== 'own';
}

/** What a lease is held against. Addresses are host-order uint32. */
export interface AdmissionRules {
  /** The network that all leases are cut from. */
  readonly network: Prefix4;
  /** This node's own lease; null while it has none. */
  readonly own: { readonly subnet: Prefix4; readonly publicAddress: number } | null;
  /** Whether a BackendType (empty where the value has none) is reached as we reach peers. */
  readonly reachable: (backendType: string) => boolean;
  /** Whether anybody reads BackendData; if not, nothing of it is kept. */
  readonly keepsBackendData?: boolean;
  /** What this host has itself; left out where nobody has looked. */
  readonly ground?: HostGround | undefined;
}

/** flannel leaves BackendType out for `udp` and `alloc`; both are reached by UDP to port 8285. */
export function reachableByUdp(backendType: string): boolean {
  return backendType === '' || backendType === 'udp';
}

/**
 * Judges one well-formed lease by itself: a peer, our own lease, or refused for the first reason
 * that applies. A lease wider than our subnet is a peer, for the longest prefix wins; one inside
 * ours is not, for it would take addresses of our own pods away.
 */
export function judge(lease: Lease, rules: AdmissionRules): 'peer' | 'own' | RefusalReason {
  const { subnet, publicAddress } = lease;
  const { own } = rules;
  if (own !== null && samePrefix(own.subnet, subnet) && own.publicAddress === publicAddress) {
    return 'own';
  }
  if (!prefixContains(rules.network, subnet)) return 'outside_network';
  if (own !== null && prefixContains(own.subnet, subnet)) return 'own_subnet_elsewhere';
  if (rules.ground !== undefined && takesLink(rules.ground, subnet, own?.subnet)) {
    return 'local_subnet';
  }
  if (!rules.reachable(lease.backendType)) return 'other_backend';
  if (!sendable(publicAddress) || contains(subnet, publicAddress)) return 'bad_public_address';
  if (own !== null && own.publicAddress === publicAddress) return 'own_public_address';
  return whyBad(lease, rules) === '' ? 'peer' : 'bad_public_address';
}

/** Said of a PublicIP that only the overlay itself leads to. */
export const INSIDE_NETWORK = 'is inside Network: the tunnel would run through itself';

/** What is wrong with a PublicIP, to follow it in a sentence; empty if nothing is. */
export function whyBad({ subnet, publicAddress }: Lease, rules: AdmissionRules): string {
  const { own, network, ground } = rules;
  if (isThisNetwork4(publicAddress)) return publicAddress === 0 ? 'is not set' : 'is no host';
  if (isLoopback4(publicAddress)) return 'is loopback';
  if (isMulticast4(publicAddress)) return 'is multicast';
  if (isUnspecifiedOrBroadcast4(publicAddress)) return 'is broadcast';
  if (contains(subnet, publicAddress)) return 'is inside the subnet that is behind it';
  // Hosts of one link may have nothing else (RFC 3927 §1.9); beyond it nobody is reached.
  const linkLocal = own !== null && isLinkLocal4(own.publicAddress);
  if (isLinkLocal4(publicAddress) && !linkLocal) return 'is link-local';
  if (ground !== undefined && isOwn(ground, publicAddress)) return 'is an address of this host';
  if (ground?.broadcasts.has(publicAddress)) return "is a broadcast address of this host's links";
  const inside = contains(network, publicAddress);
  const ours = own !== null && contains(own.subnet, publicAddress);
  if (ours || (inside && !goesByUnderlay(ground, publicAddress))) return INSIDE_NETWORK;
  return '';
}

/** Whether a datagram to the address can reach one other node at all (RFC 1122 §3.2.1.3). */
function sendable(address: number): boolean {
  return !(
    isThisNetwork4(address) ||
    isLoopback4(address) ||
    isMulticast4(address) ||
    isUnspecifiedOrBroadcast4(address)
  );
}

function samePrefix(one: Prefix4, other: Prefix4): boolean {
  return one.network === other.network && one.length === other.length;
}
