import { compact, guarded, LIMITS, type Parsed, splitObject } from '../untrusted/json.ts';
import { firstFaults } from '../untrusted/shown.ts';
import type { Prefix4 } from '../wire/address.ts';
import {
  formatAddress4,
  formatAddress6,
  maskOf,
  parseAddress4,
  parseAddress6,
} from '../wire/address.ts';
import { address4, address6, escapeAsGo, raw, readMembers, text } from './go-json.ts';

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
  /** The JSON that the backend put there, without blanks; two are the same if their texts are. */
  readonly backendData?: string;
  readonly backendData6?: string;
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
 * spelling that flannel writes, or two keys could stand for one subnet. Whatever the text, it is
 * read or refused, with every fault in the reason.
 */
export function parseSubnetKey(key: string): Parsed<Subnets> {
  return guarded(() => readSubnetKey(key));
}

function readSubnetKey(key: string): Parsed<Subnets> {
  const match = key.length > LIMITS.leaseKeyBytes ? null : KEY.exec(key);
  if (match === null) return refuse('not of the form A.B.C.D-LENGTH[&IPV6-LENGTH]');
  const [, first = '', length = '', first6, length6 = ''] = match;
  const faults: string[] = [];
  const subnet = readSubnet4(first, length, faults);
  const subnet6 = first6 === undefined ? undefined : readSubnet6(first6, length6, faults);
  if (faults.length > 0 || subnet === undefined) return refuse(faults.join('; '));
  return { ok: true, value: { subnet, ...(subnet6 !== undefined && { subnet6 }) } };
}

function readSubnet4(text: string, lengthText: string, faults: string[]): Prefix4 | undefined {
  const network = parseAddress4(text);
  const length = Number(lengthText);
  if (network === undefined) faults.push(`${text} is not an IPv4 address`);
  if (length > LONGEST4) faults.push(`IPv4 length ${length} is over ${LONGEST4}`);
  if (network === undefined || length > LONGEST4) return undefined;
  if ((network & maskOf(length)) >>> 0 === network && lengthText === String(length)) {
    return { network, length };
  }
  faults.push('the IPv4 part is not the first address of its subnet, plainly written');
  return undefined;
}

function readSubnet6(text: string, lengthText: string, faults: string[]): Prefix6 | undefined {
  const network = parseAddress6(text);
  const length = Number(lengthText);
  if (network === undefined) faults.push(`${text} is not an IPv6 address`);
  if (length > LONGEST6) faults.push(`IPv6 length ${length} is over ${LONGEST6}`);
  if (network === undefined || length > LONGEST6) return undefined;
  if (hasHostBits(network, length)) faults.push('the IPv6 part has bits beyond its length');
  return { network, length };
}

/** The key flannel writes for these subnets. */
export function formatSubnetKey({ subnet, subnet6 }: Subnets): string {
  const key = `${formatAddress4(subnet.network)}-${subnet.length}`;
  if (subnet6 === undefined) return key;
  return `${key}&${formatAddress6(subnet6.network)}-${subnet6.length}`;
}

/** flannel's names have at most 9; what is longer is no backend, and is not kept. */
const BACKEND_TYPE_LETTERS = 64;

/** flannel's `lease.LeaseAttrs`. */
const FIELDS = {
  PublicIP: address4,
  PublicIPv6: address6,
  BackendType: text(BACKEND_TYPE_LETTERS),
  BackendData: raw,
  BackendV6Data: raw,
};

/**
 * The JSON of a lease value → attributes, as Go reads it; members that flannel does not know are
 * passed over. Whatever the text, it is read or refused, with every fault in the reason; nothing
 * that is returned keeps the text alive.
 */
export function parseLeaseValue(json: string): Parsed<Attributes> {
  return guarded(() => readLeaseValue(json));
}

function readLeaseValue(json: string): Parsed<Attributes> {
  const members = splitObject(json, LIMITS.leaseValue);
  if (!members.ok) return members;
  const faults: string[] = [];
  const values = readMembers(members.value, FIELDS, faults);
  if (faults.length > 0) return refuse(firstFaults(faults).join('; '));
  const { PublicIPv6: publicAddress6, BackendData, BackendV6Data } = values;
  const attributes: Attributes = {
    publicAddress: values.PublicIP ?? 0,
    backendType: values.BackendType ?? '',
    ...(publicAddress6 && { publicAddress6 }),
    ...(BackendData !== undefined && { backendData: compact(BackendData) }),
    ...(BackendV6Data !== undefined && { backendData6: compact(BackendV6Data) }),
  };
  return { ok: true, value: attributes };
}

/** The JSON flanneld writes for these attributes, byte for byte: order, null and omissions. */
export function formatLeaseValue(attributes: Attributes): string {
  const { publicAddress, publicAddress6, backendType, backendData, backendData6 } = attributes;
  const members = [
    `"PublicIP":"${formatAddress4(publicAddress)}"`,
    `"PublicIPv6":${publicAddress6 === undefined ? 'null' : `"${formatAddress6(publicAddress6)}"`}`,
    ...(backendType === '' ? [] : [`"BackendType":${JSON.stringify(backendType)}`]),
    ...(backendData === undefined ? [] : [`"BackendData":${backendData}`]),
    ...(backendData6 === undefined ? [] : [`"BackendV6Data":${backendData6}`]),
  ];
  return escapeAsGo(`{${members.join(',')}}`);
}

/** Whether two leases say the same; backend data by its text, whatever it means. */
export function sameLease(one: Lease | null, other: Lease | null): boolean {
  if (one === null || other === null) return one === other;
  return (
    one.key === other.key &&
    one.publicAddress === other.publicAddress &&
    one.backendType === other.backendType &&
    sameBytes(one.publicAddress6, other.publicAddress6) &&
    one.backendData === other.backendData &&
    one.backendData6 === other.backendData6
  );
}

function sameBytes(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.every((byte, at) => byte === other[at]);
}

function hasHostBits(address: Uint8Array, length: number): boolean {
  return address.some((byte, at) => {
    const free = Math.min(8, Math.max(0, 8 * (at + 1) - length));
    return (byte & ((1 << free) - 1)) !== 0;
  });
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
