import { formatAddress4, formatAddress6, type Prefix4 } from '../../../wire/address.ts';
import type { Attributes, Lease, Prefix6, Subnets } from '../../lease.ts';
import { formatLeaseValue, parseLeaseValue, parseSubnetKey } from '../../lease.ts';
import type { SubnetRange } from '../../network/range.ts';
import type { NetworkConfig } from '../../network.ts';
import type { LeaseEntry } from '../../source.ts';
import { address6Of, chooseSubnet, numberOf6, type Span, spanOf4, spanOf6 } from './choose.ts';

/** The decisions of flannel's `subnet/etcd/local_manager.go`, without a line to etcd. */

/** The leases that carry this PublicIP, in the order of the list. */
export function ownLeases(entries: readonly LeaseEntry[], publicAddress: number): Lease[] {
  const text = formatAddress4(publicAddress);
  const own: Lease[] = [];
  for (const { key, value } of entries) {
    // Nearly every entry is somebody else's, and not worth parsing.
    if (!value.includes(text)) continue;
    const subnets = parseSubnetKey(key);
    const attributes = parseLeaseValue(value);
    if (!subnets.ok || !attributes.ok) continue;
    if (attributes.value.publicAddress !== publicAddress) continue;
    own.push({ key, ...subnets.value, ...attributes.value });
  }
  return own;
}

/** Whether a node of this network may hold these subnets: both families as the config has them. */
export function fits({ subnet, subnet6 }: Subnets, { ipv4, ipv6 }: NetworkConfig): boolean {
  return fits4(subnet, ipv4) && (ipv6 === null ? subnet6 === undefined : fits6(subnet6, ipv6));
}

function fits4(subnet: Prefix4, range: NetworkConfig['ipv4']): boolean {
  if (range === null || subnet.length !== range.subnetLength) return false;
  return subnet.network >= range.subnetMin && subnet.network <= range.subnetMax;
}

function fits6(subnet: Prefix6 | undefined, range: SubnetRange<Prefix6, Uint8Array>): boolean {
  if (subnet === undefined || subnet.length !== range.subnetLength) return false;
  const first = numberOf6(subnet.network);
  return first >= numberOf6(range.subnetMin) && first <= numberOf6(range.subnetMax);
}

/** What a node without a lease would like to have again. */
export interface Previous {
  readonly subnet: Prefix4 | undefined;
  readonly subnet6: Prefix6 | undefined;
}

/**
 * Subnets for a node without a lease: the previous one of each family where it fits and is free,
 * else one by chance; undefined where a family has none left.
 */
export function pickSubnets(
  entries: readonly LeaseEntry[],
  network: NetworkConfig,
  previous: Previous,
  random: () => number = Math.random,
): Subnets | undefined {
  const { ipv4, ipv6 } = network;
  if (ipv4 === null) return undefined;
  const [taken, taken6] = takenSpans(entries);
  const again = previous.subnet;
  const isFree = again !== undefined && fits4(again, ipv4) && !meets(spanOf4(again), taken);
  const subnet = isFree ? again : randomSubnet4(ipv4, taken, random);
  if (subnet === undefined) return undefined;
  if (ipv6 === null) return { subnet };
  const again6 = previous.subnet6;
  const isFree6 = again6 !== undefined && fits6(again6, ipv6) && !meets(spanOf6(again6), taken6);
  const subnet6 = isFree6 ? again6 : randomSubnet6(ipv6, taken6, random);
  return subnet6 === undefined ? undefined : { subnet, subnet6 };
}

/** A key that can be read takes its subnets, whatever its value says. */
function takenSpans(entries: readonly LeaseEntry[]): [Span[], Span[]] {
  const taken: Span[] = [];
  const taken6: Span[] = [];
  for (const { key } of entries) {
    const subnets = parseSubnetKey(key);
    if (!subnets.ok) continue;
    taken.push(spanOf4(subnets.value.subnet));
    if (subnets.value.subnet6 !== undefined) taken6.push(spanOf6(subnets.value.subnet6));
  }
  return [taken, taken6];
}

function meets({ first, last }: Span, taken: readonly Span[]): boolean {
  return taken.some((other) => first <= other.last && other.first <= last);
}

function randomSubnet4(
  { subnetMin, subnetMax, subnetLength }: SubnetRange<Prefix4, number>,
  taken: readonly Span[],
  random: () => number,
): Prefix4 | undefined {
  const size = 1n << BigInt(32 - subnetLength);
  const walk = { least: BigInt(subnetMin), most: BigInt(subnetMax), size };
  const first = chooseSubnet(walk, taken, random);
  return first === undefined ? undefined : { network: Number(first), length: subnetLength };
}

function randomSubnet6(
  { subnetMin, subnetMax, subnetLength }: SubnetRange<Prefix6, Uint8Array>,
  taken: readonly Span[],
  random: () => number,
): Prefix6 | undefined {
  const size = 1n << BigInt(128 - subnetLength);
  const walk = { least: numberOf6(subnetMin), most: numberOf6(subnetMax), size };
  const first = chooseSubnet(walk, taken, random);
  return first === undefined ? undefined : { network: address6Of(first), length: subnetLength };
}

/** Why there is no subnet to be had, with the cure. */
export function explainShortage({ ipv4, ipv6 }: NetworkConfig, leases: number): string {
  if (ipv4 === null) {
    return 'EnableIPv4 is false, and etcd has no keys for leases of IPv6 alone: enable IPv4';
  }
  const { subnetLength, subnetMin, subnetMax } = ipv4;
  const [first, last] = [subnetMin, subnetMax].map(formatAddress4);
  const range4 = `/${subnetLength} from ${first} to ${last}`;
  const range6 =
    ipv6 === null
      ? ''
      : `, or every /${ipv6.subnetLength} from ${formatAddress6(ipv6.subnetMin)} to ` +
        formatAddress6(ipv6.subnetMax);
  return (
    `out of subnets: every ${range4}${range6} is leased (${leases} leases); delete leases of ` +
    'nodes that are gone, or widen Network, SubnetMin or SubnetMax in the network config'
  );
}

/** Whether two nodes' attributes say the same, as flannel would write them. */
export function sameAttributes(one: Attributes, other: Attributes): boolean {
  return formatLeaseValue(one) === formatLeaseValue(other);
}
