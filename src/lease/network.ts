import { z } from 'zod';
import type { Prefix4 } from '../wire/address.ts';
import { formatAddress4, formatAddress6, parseAddress4, parseAddress6 } from '../wire/address.ts';
import { foldKeys, parseObject, spellings } from './go-json.ts';
import type { Prefix6 } from './lease.ts';

/** The network config of a cluster, with flannel's defaults filled in. */
export interface NetworkConfig {
  readonly ipv4: SubnetRange<Prefix4, number> | null;
  readonly ipv6: SubnetRange<Prefix6, Uint8Array> | null;
  readonly enableNftables: boolean;
  readonly backend: BackendConfig;
}

/** Where a node's subnet may be taken from: `subnetMin` to `subnetMax`, both inclusive. */
export interface SubnetRange<Prefix, Address> {
  readonly network: Prefix;
  readonly subnetLength: number;
  readonly subnetMin: Address;
  readonly subnetMax: Address;
}

export interface BackendConfig {
  /** In lower case; `udp` where the config names no backend. */
  readonly type: string;
  /** All members of `Backend`, `Type` too, as written; each backend reads its own. */
  readonly options: Readonly<Record<string, unknown>>;
}

export type NetworkParsed =
  | { readonly ok: true; readonly config: NetworkConfig }
  | { readonly ok: false; readonly faults: readonly string[] };

/** What a source found when asked for the network config. */
export type NetworkReading =
  | { readonly kind: 'config'; readonly config: NetworkConfig }
  | { readonly kind: 'missing'; readonly where: string }
  | { readonly kind: 'bad'; readonly where: string; readonly faults: readonly string[] }
  | { readonly kind: 'unreachable'; readonly reason: string };

const FIELDS = {
  EnableIPv4: z.boolean().nullish(),
  EnableIPv6: z.boolean().nullish(),
  EnableNFTables: z.boolean().nullish(),
  Network: z.string().nullish(),
  IPv6Network: z.string().nullish(),
  SubnetLen: z.int().min(0).nullish(),
  SubnetMin: z.string().nullish(),
  SubnetMax: z.string().nullish(),
  IPv6SubnetLen: z.int().min(0).nullish(),
  IPv6SubnetMin: z.string().nullish(),
  IPv6SubnetMax: z.string().nullish(),
  Backend: z.record(z.string(), z.unknown()).nullish(),
} as const;

const MEMBERS = spellings(Object.keys(FIELDS));

type Fields = { [Name in keyof typeof FIELDS]?: z.infer<(typeof FIELDS)[Name]> };

/**
 * The JSON at `<prefix>/config` → network config. Member names in any case, unknown ones ignored,
 * null means absent; every fault is named at once, with the member it is in.
 */
export function parseNetworkConfig(text: string): NetworkParsed {
  const object = parseObject(text);
  if (!object.ok) return { ok: false, faults: [object.reason] };
  const faults: string[] = [];
  const fields = readFields(foldKeys(object.value, MEMBERS), faults);
  const enable4 = fields.EnableIPv4 ?? true;
  const enable6 = fields.EnableIPv6 ?? false;
  if (!enable4 && !enable6) faults.push('EnableIPv4 and EnableIPv6 are both false: enable one');
  const config = {
    ipv4: enable4 ? readRange(IPV4, membersOf4(fields), faults) : null,
    ipv6: enable6 ? readRange(IPV6, membersOf6(fields), faults) : null,
    enableNftables: fields.EnableNFTables ?? false,
    backend: readBackend(fields.Backend ?? null, faults),
  };
  return faults.length > 0 ? { ok: false, faults } : { ok: true, config };
}

/** Checks the members one by one, so that a fault in one does not hide the faults of others. */
function readFields(given: Record<string, unknown>, faults: string[]): Fields {
  const fields: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(FIELDS)) {
    const checked = schema.safeParse(given[name]);
    if (checked.success) fields[name] = checked.data;
    else faults.push(...checked.error.issues.map((issue) => `${name}: ${issue.message}`));
  }
  return fields as Fields;
}

function readBackend(given: Record<string, unknown> | null, faults: string[]): BackendConfig {
  if (given === null) return { type: 'udp', options: {} };
  const { Type } = foldKeys(given, spellings(['Type']));
  if (typeof Type === 'string' && Type !== '') return { type: Type.toLowerCase(), options: given };
  faults.push('Backend: Type is missing: name one, such as "udp", or leave Backend out');
  return { type: '', options: given };
}

/** What differs between the two families; in between, addresses are bigints. */
interface Family<Prefix, Address> {
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

const IPV4: Family<Prefix4, number> = {
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

const IPV6: Family<Prefix6, Uint8Array> = {
  bits: 128,
  usual: 64,
  name: 'IPv6',
  example: 'fd00:244::/48',
  parse: (text) => {
    const bytes = parseAddress6(text);
    return bytes?.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  },
  format: (value) => formatAddress6(bytesOf(value)),
  address: bytesOf,
  prefix: (value, length) => ({ network: bytesOf(value), length }),
};

function bytesOf(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, at) => Number((value >> BigInt(120 - 8 * at)) & 255n));
}

/** The members of one family, under the names they have in IPv4. */
interface Members {
  readonly network: string | null | undefined;
  readonly subnetLength: number | null | undefined;
  readonly subnetMin: string | null | undefined;
  readonly subnetMax: string | null | undefined;
}

function membersOf4({ Network, SubnetLen, SubnetMin, SubnetMax }: Fields): Members {
  return {
    network: Network,
    subnetLength: SubnetLen,
    subnetMin: SubnetMin,
    subnetMax: SubnetMax,
  };
}

function membersOf6(fields: Fields): Members {
  return {
    network: fields.IPv6Network,
    subnetLength: fields.IPv6SubnetLen,
    subnetMin: fields.IPv6SubnetMin,
    subnetMax: fields.IPv6SubnetMax,
  };
}

/** The addresses of a network as bigints, cut into subnets of `size` addresses. */
interface Space {
  readonly first: bigint;
  readonly length: number;
  readonly subnetLength: number;
  readonly size: bigint;
  /** First address of the last subnet. */
  readonly lastSubnet: bigint;
}

/** flannel's range rules (`subnet/config.go`); null where a fault was found, and pushed. */
function readRange<Prefix, Address>(
  family: Family<Prefix, Address>,
  members: Members,
  faults: string[],
): SubnetRange<Prefix, Address> | null {
  const space = readSpace(family, members, faults);
  if (space === null) return null;
  // The first subnet is left out by default, for its first address is the network's own.
  const least = readEdge(family, 'SubnetMin', members.subnetMin, space, faults);
  const most = readEdge(family, 'SubnetMax', members.subnetMax, space, faults);
  const subnetMin = least ?? space.first + space.size;
  const subnetMax = most ?? space.lastSubnet;
  if (subnetMin > subnetMax) {
    faults.push(`${family.name}SubnetMin: is above ${family.name}SubnetMax: no subnet is left`);
  }
  return {
    network: family.prefix(space.first, space.length),
    subnetLength: space.subnetLength,
    subnetMin: family.address(subnetMin),
    subnetMax: family.address(subnetMax),
  };
}

function readSpace<Prefix, Address>(
  family: Family<Prefix, Address>,
  members: Members,
  faults: string[],
): Space | null {
  const name = `${family.name}Network`;
  const network = readPrefix(family, members.network ?? '');
  if (network === undefined) {
    // A member of a wrong type has been named already.
    if (!faults.some((fault) => fault.startsWith(`${name}: `))) {
      faults.push(`${name}: must be a prefix such as ${family.example}`);
    }
    return null;
  }
  const { first, length } = network;
  const subnetLength = members.subnetLength || usualLength(family, length);
  const fault = lengthFault(family, length, members.subnetLength || undefined);
  if (fault !== '') {
    faults.push(fault);
    return null;
  }
  const size = 1n << BigInt(family.bits - subnetLength);
  const lastSubnet = first + (1n << BigInt(family.bits - length)) - size;
  return { first, length, subnetLength, size, lastSubnet };
}

function usualLength({ usual }: { usual: number }, networkLength: number): number {
  return networkLength + 2 <= usual ? usual : networkLength + 2;
}

/** A node needs addresses for its bridge and device, and a network at least four subnets. */
function lengthFault(
  { bits, name }: { bits: number; name: string },
  networkLength: number,
  subnetLength: number | undefined,
): string {
  if (subnetLength === undefined) {
    if (networkLength <= bits - 4) return '';
    return `${name}Network: /${networkLength} is too small; the least is /${bits - 4}`;
  }
  if (subnetLength > bits - 2) return `${name}SubnetLen: ${subnetLength} is over ${bits - 2}`;
  if (subnetLength >= networkLength + 2) return '';
  return `${name}SubnetLen: ${subnetLength} must be at least the network's length plus 2, ${
    networkLength + 2
  }, to make four subnets`;
}

function readPrefix<Prefix, Address>(
  { bits, parse }: Family<Prefix, Address>,
  text: string,
): { first: bigint; length: number } | undefined {
  const [address = '', lengthText = '', ...rest] = text.split('/');
  const value = parse(address);
  const length = Number(lengthText);
  if (value === undefined || rest.length > 0 || !/^[0-9]{1,3}$/.test(lengthText)) return undefined;
  if (length > bits) return undefined;
  const hostBits = BigInt(bits - length);
  return { first: (value >> hostBits) << hostBits, length };
}

/** One end of the range; undefined where it is left to the default or faulty. */
function readEdge<Prefix, Address>(
  family: Family<Prefix, Address>,
  edge: 'SubnetMin' | 'SubnetMax',
  text: string | null | undefined,
  space: Space,
  faults: string[],
): bigint | undefined {
  // flannel cannot tell the unspecified address from an absent member.
  const value = text === undefined || text === null ? 0n : family.parse(text);
  if (value === 0n) return undefined;
  const refuse = (why: string) => void faults.push(`${family.name}${edge}: ${text} ${why}`);
  if (value === undefined) return refuse('is not an address');
  if (value < space.first || value >= space.lastSubnet + space.size) {
    return refuse('is outside the network');
  }
  if (value % space.size !== 0n) {
    return refuse(`is not the first address of a /${space.subnetLength}`);
  }
  return value;
}
