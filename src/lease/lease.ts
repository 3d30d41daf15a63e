import { z } from 'zod';
import type { Prefix4 } from '../wire/address.ts';
import {
  formatAddress4,
  formatAddress6,
  maskOf,
  parseAddress4,
  parseAddress6,
} from '../wire/address.ts';
import type { Parsed } from './go-json.ts';
import { foldKeys, formatAsGo, parseObject, spellings } from './go-json.ts';

/** `length` leading bits of the 16 bytes of `network`. */
export interface Prefix6 {
  readonly network: Uint8Array;
  readonly length: number;
}

/** What a subnet key says: which addresses are leased. */
export interface Subnets {
  readonly subnet: Prefix4;
  readonly subnet6?: Prefix6;
}

/** What a lease value says: where the node is and how it is reached. */
export interface Attributes {
  /** Host-order uint32; 0 where the value has none, as flannel reads it. */
  readonly publicAddress: number;
  readonly publicAddress6?: Uint8Array;
  /** Empty for flannel's `udp` and `alloc`. */
  readonly backendType: string;
  /** Parsed JSON, whatever the backend put there. */
  readonly backendData?: unknown;
  readonly backendData6?: unknown;
}

/** "This subnet is behind that node." */
export interface Lease extends Subnets, Attributes {
  /** The key as it lies in the source, relative to the lease folder. */
  readonly key: string;
}

const KEY = /^([0-9.]+)-([0-9]{1,2})(?:&([0-9a-f:.]+)-([0-9]{1,3}))?$/;
/** flannel reads lengths into 5 and 7 bits, so a lease of one address cannot be written. */
const LONGEST4 = 31;
const LONGEST6 = 127;

/**
 * `10.5.34.0-24`, or `10.5.34.0-24&fd00:5:34::-64` with IPv6, → subnets. Stricter than flannel,
 * which also takes text before the address and addresses inside a subnet: a key must be the one
 * spelling that flannel writes, or two keys could stand for one subnet.
 */
export function parseSubnetKey(key: string): Parsed<Subnets> {
  const match = KEY.exec(key);
  if (match === null) return refuse('not of the form A.B.C.D-LENGTH[&IPV6-LENGTH]');
  const network = parseAddress4(match[1] ?? '');
  if (network === undefined) return refuse(`${match[1]} is not an IPv4 address`);
  const length = Number(match[2]);
  if (length > LONGEST4) return refuse(`IPv4 length ${length} is over ${LONGEST4}`);
  if ((network & maskOf(length)) >>> 0 !== network || match[2] !== String(length)) {
    return refuse('the IPv4 part is not the first address of its subnet, plainly written');
  }
  const subnet = { network, length };
  if (match[3] === undefined) return { ok: true, value: { subnet } };
  const network6 = parseAddress6(match[3]);
  if (network6 === undefined) return refuse(`${match[3]} is not an IPv6 address`);
  const length6 = Number(match[4]);
  if (length6 > LONGEST6) return refuse(`IPv6 length ${length6} is over ${LONGEST6}`);
  if (hasHostBits(network6, length6)) return refuse('the IPv6 part has bits beyond its length');
  return { ok: true, value: { subnet, subnet6: { network: network6, length: length6 } } };
}

/** The key flannel writes for these subnets. */
export function formatSubnetKey({ subnet, subnet6 }: Subnets): string {
  const key = `${formatAddress4(subnet.network)}-${subnet.length}`;
  if (subnet6 === undefined) return key;
  return `${key}&${formatAddress6(subnet6.network)}-${subnet6.length}`;
}

const VALUE = z.object({
  PublicIP: z.string().optional(),
  PublicIPv6: z.string().nullish(),
  BackendType: z.string().nullish(),
  BackendData: z.unknown().optional(),
  BackendV6Data: z.unknown().optional(),
});

const MEMBERS = spellings(Object.keys(VALUE.shape));

/** The JSON of a lease value → attributes; members that flannel does not know are ignored. */
export function parseLeaseValue(text: string): Parsed<Attributes> {
  const object = parseObject(text);
  if (!object.ok) return object;
  const checked = VALUE.safeParse(foldKeys(object.value, MEMBERS));
  if (!checked.success) return refuse(listFaults(checked.error));
  const { PublicIP, PublicIPv6, BackendType, BackendData, BackendV6Data } = checked.data;
  const publicAddress = PublicIP === undefined ? 0 : parseAddress4(PublicIP);
  if (publicAddress === undefined) return refuse(`PublicIP: not an IPv4 address: ${PublicIP}`);
  const given = typeof PublicIPv6 === 'string';
  const publicAddress6 = given ? parseAddress6(PublicIPv6) : undefined;
  if (given && publicAddress6 === undefined) {
    return refuse(`PublicIPv6: not an IPv6 address: ${PublicIPv6}`);
  }
  const attributes: Attributes = {
    publicAddress,
    backendType: BackendType ?? '',
    ...(publicAddress6 !== undefined && { publicAddress6 }),
    ...(BackendData !== undefined && { backendData: BackendData }),
    ...(BackendV6Data !== undefined && { backendData6: BackendV6Data }),
  };
  return { ok: true, value: attributes };
}

/** The JSON flanneld writes for these attributes, byte for byte: order, null and omissions. */
export function formatLeaseValue(attributes: Attributes): string {
  const { publicAddress, publicAddress6, backendType, backendData, backendData6 } = attributes;
  return formatAsGo({
    PublicIP: formatAddress4(publicAddress),
    PublicIPv6: publicAddress6 === undefined ? null : formatAddress6(publicAddress6),
    BackendType: backendType === '' ? undefined : backendType,
    BackendData: backendData,
    BackendV6Data: backendData6,
  });
}

/** Whether two leases say the same; order of members inside backend data counts as difference. */
export function sameLease(one: Lease | null, other: Lease | null): boolean {
  if (one === null || other === null) return one === other;
  return (
    one.key === other.key &&
    one.publicAddress === other.publicAddress &&
    one.backendType === other.backendType &&
    sameBytes(one.publicAddress6, other.publicAddress6) &&
    sameJson(one.backendData, other.backendData) &&
    sameJson(one.backendData6, other.backendData6)
  );
}

function sameBytes(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.every((byte, at) => byte === other[at]);
}

function sameJson(one: unknown, other: unknown): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

function hasHostBits(address: Uint8Array, length: number): boolean {
  return address.some((byte, at) => {
    const free = Math.min(8, Math.max(0, 8 * (at + 1) - length));
    return (byte & ((1 << free) - 1)) !== 0;
  });
}

function listFaults(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
