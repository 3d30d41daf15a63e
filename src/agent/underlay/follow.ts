/** Where the underlay's address is by now. Pure. */
import type { Link } from '../../linux/link.ts';
import { formatAddress4, parseAddress4 } from '../../wire/address.ts';
import type { Uplink, UplinkWishes } from '../uplink.ts';
import { ownerOf, usableAddresses } from './candidates.ts';

/** What a look at the links found. `replaced`: the address is gone, another would do. */
export type Following =
  | { readonly kind: 'there' | 'replaced'; readonly uplink: Uplink }
  | { readonly kind: 'lost'; readonly reason: string };

/**
 * The uplink as it is now. An address stays chosen while any interface of the host has it: it may
 * have gone from a NIC to a bridge or a bond over it.
 * @param home the address chosen at the start: it is taken again as soon as it is back
 */
export function followUplink(
  links: readonly Link[],
  uplink: Uplink,
  home: number,
  wishes: UplinkWishes,
): Following {
  const ownerName = uplink.owner ?? uplink.name;
  for (const address of [home, uplink.address]) {
    const owner = ownerOf(links, address, ownerName);
    if (owner !== undefined) return stays(links, uplink, address, owner, wishes);
  }
  const was = formatAddress4(uplink.address);
  const link = links.find(({ name }) => name === ownerName);
  if (link === undefined) return lost(`underlay ${ownerName} is gone`);
  const address = replacementOn(link, was, wishes);
  if (address === undefined) return lost(`underlay ${ownerName} lost its address ${was}`);
  return { kind: 'replaced', uplink: moved(uplink, address, link.mtu, wishes) };
}

function lost(reason: string): Following {
  return { kind: 'lost', reason };
}

/** Packets leave by another device than the address's where a route's source said so. */
function stays(
  links: readonly Link[],
  uplink: Uplink,
  address: number,
  owner: Link,
  wishes: UplinkWishes,
): Following {
  const apart = uplink.owner !== undefined && uplink.owner !== uplink.name;
  const device = apart ? links.find(({ name }) => name === uplink.name) : owner;
  if (device === undefined) return lost(`underlay ${uplink.name} is gone`);
  const { name, up, mtu } = device;
  if (!up) return lost(`underlay ${name} is down: ip link set ${name} up`);
  const now = { ...moved(uplink, address, mtu, wishes), name };
  return { kind: 'there', uplink: apart ? { ...now, owner: owner.name } : now };
}

function moved(uplink: Uplink, address: number, mtu: number, { publicAddress }: UplinkWishes) {
  return { ...uplink, address, mtu, publicAddress: publicAddress ?? address };
}

/** What is chosen in place of an address that is gone; nothing where the operator named it. */
function replacementOn(link: Link, was: string, wishes: UplinkWishes): number | undefined {
  const { interfaces, interfacePatterns: patterns, publicAddress } = wishes;
  if (interfaces.includes(was)) return undefined;
  // Peers send to --public-ip, which nothing else on the interface answers for.
  if (publicAddress !== undefined && formatAddress4(publicAddress) === was) return undefined;
  const present = usableAddresses(link).map((row) => row.local);
  const byAddress = patterns.some((pattern) => pattern.test(was) && !pattern.test(link.name));
  const fits = (address: string) => patterns.some((pattern) => pattern.test(address));
  const found = byAddress ? present.find(fits) : present[0];
  return found === undefined ? undefined : parseAddress4(found);
}
