/** What is found on a vxlan device, and what of it was set for peers. Pure. */
import type { ForwardingEntry, Neighbour } from '../../../linux/neighbour.ts';
import { contains, maskOf, parseAddress4 } from '../../../wire/address.ts';
import type { FoundEntry } from '../reconcile/plan.ts';
import type { Ground } from '../routes.ts';

/**
 * Permanent neighbours; what ARP found by itself gives way to a permanent one. Ours are those at
 * the first address of a subnet of a lease's size inside Network.
 */
export function readNeighbours(neighbours: readonly Neighbour[], ground: Ground): FoundEntry[] {
  return neighbours.flatMap(({ address, macAddress, permanent }): FoundEntry[] => {
    if (!permanent || macAddress === undefined) return [];
    const ours = isFirstAddress(address, ground);
    const text = `${address} lladdr ${macAddress}`;
    return [{ table: 'neighbour', key: address, value: macAddress, ours, text }];
  });
}

/**
 * Permanent forwarding entries of one destination. The kernel keeps no mark in them, so ours are
 * those whose MAC address a neighbour of ours names; flood entries and whatever has a VNI, a port
 * or a link of its own are somebody else's.
 */
export function readForwarding(
  entries: readonly ForwardingEntry[],
  neighbours: readonly Neighbour[],
  ground: Ground,
): FoundEntry[] {
  const named = new Set(
    neighbours
      .filter(({ address, permanent }) => permanent && isFirstAddress(address, ground))
      .map(({ macAddress }) => macAddress),
  );
  return entries.flatMap(({ macAddress, destination, permanent, plain }): FoundEntry[] => {
    if (!permanent || !plain || destination === undefined) return [];
    const ours = named.has(macAddress);
    const text = `${macAddress} dst ${destination}`;
    return [{ table: 'forwarding', key: macAddress, value: destination, ours, text }];
  });
}

function isFirstAddress(text: string, { network, subnet }: Ground): boolean {
  const address = parseAddress4(text);
  if (address === undefined || !contains(network, address)) return false;
  return (address & maskOf(subnet.length)) >>> 0 === address;
}
