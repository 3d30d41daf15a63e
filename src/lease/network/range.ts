import type { Prefix4 } from '../../wire/address.ts';
import {
  formatAddress4,
  formatAddress6,
  parseAddress4,
  parseAddress6,
} from '../../wire/address.ts';
import { between, type Field, refuse } from '../go-json.ts';
import type { Prefix6 } from '../lease.ts';

/** Where a node's subnet may be taken from: `subnetMin` to `subnetMax`, both inclusive. */
export interface SubnetRange<Prefix, Address> {
  readonly network: Prefix;
  readonly subnetLength: number;
  readonly subnetMin: Address;
  readonly subnetMax: Address;
}

/** What differs between the two families; in between, addresses are bigints. */
export interface Family<Prefix, Address> {
  readonly bits: number;
  /** Length of a subnet where the network has room for four of it. */
  readonly usual: number;
  /** What the names of the family's members in the config begin with. */
  readonly name: '' | 'IPv6';
  readonly example: string;
  readonly parse: (text: string) => bigint | undefined;
  readonly format: (value: bigint) => string;
  readonly address: (value: bigint) => Address;
  readonly prefix: (value: bigint, length: number) => Prefix;
}

export const IPV4: Family<Prefix4, number> = {
  bits: 32,
  usual: 24,
  name: '',
  example: '10.244.0.0/16',
  parse: (text) => {
    const address = parseAddress4(text);
    return address === undefined ? undefined : BigInt(address);
  },
  format: (value) => formatAddress4(Number(value)),
  address: Number,
  prefix: (value, length) => ({ network: Number(value), length }),
};

export const IPV6: Family<Prefix6, Uint8Array> = {
  bits: 128,
  usual: 64,
  name: 'IPv6',
  example: 'fd00:244::/48',
  parse: (text) => {
    const bytes = parseAddress6(text);
    return bytes === undefined ? undefined : numberOf(bytes);
  },
  format: (value) => formatAddress6(bytesOf(value)),
  address: bytesOf,
  prefix: (value, length) => ({ network: bytesOf(value), length }),
};

/** The bytes of an address as one number, the first of them the highest. */
export function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, at) => Number((value >> BigInt(120 - 8 * at)) & 255n));
}

/** A prefix with the bits beyond its length cleared. */
export interface Network {
  readonly first: bigint;
  readonly length: number;
}

/** flannel's ip.IP4Net and ip.IP6Net: Go's net.ParseCIDR, and null is none. */
export const prefixOf =
  <Prefix, Address>({ bits, example, parse }: Family<Prefix, Address>): Field<Network> =>
  (json) => {
    const [address = '', lengthText = '', ...rest] = between(json).split('/');
    const value = parse(address);
    const must = `must be a prefix such as ${example}`;
    if (value === undefined || rest.length > 0 || !/^[0-9]{1,3}$/.test(lengthText)) {
      return refuse(json, must);
    }
    const length = Number(lengthText);
    if (length > bits) return refuse(json, `has a length over ${bits}: it ${must}`);
    const hostBits = BigInt(bits - length);
    return { ok: true, value: { first: (value >> hostBits) << hostBits, length } };
  };

/** The members of one family, under the names they have in IPv4; absent or faulty: undefined. */
export interface RangeMembers {
  readonly network: Network | undefined;
  readonly subnetLength: number | undefined;
  readonly subnetMin: bigint | undefined;
  readonly subnetMax: bigint | undefined;
}

/**
 * flannel's range rules (`subnet/config.go`). Each member is held against all that can be known of
 * the others, so that no fault hides another.
 * @param faults those found before too: a member that is named there is not missing
 * @returns null where the family has a fault
 */
export function readRange<Prefix, Address>(
  family: Family<Prefix, Address>,
  members: RangeMembers,
  faults: string[],
): SubnetRange<Prefix, Address> | null {
  const before = faults.length;
  const network = checkNetwork(family, members, faults);
  const subnetLength = checkSubnetLength(family, network, members.subnetLength, faults);
  const size = subnetLength === undefined ? undefined : 1n << BigInt(family.bits - subnetLength);
  // The first subnet is left out by default, for its first address is the network's own.
  const least = checkEdge(family, 'SubnetMin', members.subnetMin, { network, size, faults });
  const most = checkEdge(family, 'SubnetMax', members.subnetMax, { network, size, faults });
  if (network === undefined || subnetLength === undefined || size === undefined) return null;
  const subnetMin = least ?? network.first + size;
  const subnetMax = most ?? network.first + (1n << BigInt(family.bits - network.length)) - size;
  if (subnetMin > subnetMax) {
    const [from, to] = [subnetMin, subnetMax].map(family.format);
    const name = `${family.name}SubnetM`;
    faults.push(`${name}in: ${from} is above ${name}ax, ${to}: no subnet is left`);
  }
  if (faults.length > before) return null;
  return {
    network: family.prefix(network.first, network.length),
    subnetLength,
    subnetMin: family.address(subnetMin),
    subnetMax: family.address(subnetMax),
  };
}

function checkNetwork<Prefix, Address>(
  { bits, name, example, format }: Family<Prefix, Address>,
  { network, subnetLength }: RangeMembers,
  faults: string[],
): Network | undefined {
  const member = `${name}Network: `;
  const must = `must be a prefix such as ${example}`;
  if (network === undefined) {
    const isNamed = faults.some((fault) => fault.startsWith(member));
    if (!isNamed) faults.push(`${member}there is none: it ${must}`);
    return undefined;
  }
  const { first, length } = network;
  if (first === 0n && length === 0) {
    faults.push(`${member}${format(0n)}/0 is every address there is: it ${must}`);
    return undefined;
  }
  if (length > bits - 4 && !subnetLength) {
    const least = `the least is a /${bits - 4}`;
    faults.push(`${member}${format(first)}/${length} is too small for four nodes; ${least}`);
    return undefined;
  }
  return network;
}

/** A node needs addresses for its bridge and device, and a network at least four subnets. */
function checkSubnetLength<Prefix, Address>(
  { bits, name, usual }: Family<Prefix, Address>,
  network: Network | undefined,
  given: number | undefined,
  faults: string[],
): number | undefined {
  // flannel cannot tell 0 from an absent member.
  if (!given) {
    if (network === undefined) return undefined;
    return network.length + 2 <= usual ? usual : network.length + 2;
  }
  if (given > bits - 2) {
    faults.push(
      `${name}SubnetLen: ${given} is over ${bits - 2}, which leaves a node two addresses`,
    );
    return undefined;
  }
  if (network === undefined || given >= network.length + 2) return given;
  faults.push(
    `${name}SubnetLen: ${given} must be at least ${network.length + 2}, the length of ` +
      `${name}Network plus 2, to make four subnets`,
  );
  return undefined;
}

interface Ground {
  readonly network: Network | undefined;
  readonly size: bigint | undefined;
  readonly faults: string[];
}

/** One end of the range; undefined where it is left to the default. */
function checkEdge<Prefix, Address>(
  { bits, name, format }: Family<Prefix, Address>,
  edge: 'SubnetMin' | 'SubnetMax',
  value: bigint | undefined,
  { network, size, faults }: Ground,
): bigint | undefined {
  // flannel cannot tell the unspecified address from an absent member.
  if (value === undefined || value === 0n) return undefined;
  const refuse = (why: string) => void faults.push(`${name}${edge}: ${format(value)} ${why}`);
  if (network !== undefined) {
    const last = network.first + (1n << BigInt(bits - network.length)) - 1n;
    const where = `${name}Network ${format(network.first)}/${network.length}`;
    if (value < network.first || value > last) return refuse(`is outside of ${where}`);
  }
  if (size === undefined || value % size === 0n) return value;
  const length = bits - size.toString(2).length + 1;
  return refuse(`is not the first address of a /${length}, which is what nodes get`);
}
