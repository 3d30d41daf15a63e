import { readUint16, readUint32, writeUint16, writeUint32 } from './bytes.ts';
import { complement, fold, patchChecksum, sumHeader } from './checksum.ts';

/** IPv4 header (RFC 791 §3.1). Offsets are from the header's first byte. */
export const IPV4_VERSION_AT = 0;
export const IPV4_TYPE_OF_SERVICE_AT = 1;
export const IPV4_TOTAL_LENGTH_AT = 2;
export const IPV4_IDENTIFICATION_AT = 4;
export const IPV4_FRAGMENT_AT = 6;
export const IPV4_TIME_TO_LIVE_AT = 8;
export const IPV4_PROTOCOL_AT = 9;
export const IPV4_CHECKSUM_AT = 10;
export const IPV4_SOURCE_AT = 12;
export const IPV4_DESTINATION_AT = 16;

export const IPV4_HEADER_MINIMUM = 20;
export const IPV4_HEADER_MAXIMUM = 60;

/** Bits of the fragment field: flags above, offset in units of eight bytes below. */
export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
export const IPV4_FRAGMENT_OFFSET_MASK = 0x1fff;

/** Protocol numbers (IANA), for IPv6's next header too. */
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_GRE = 47;
export const PROTOCOL_ICMPV6 = 58;
export const PROTOCOL_SCTP = 132;

/** What `checkIpv4` may find. */
export const IPV4_TOO_SHORT = 1;
export const IPV4_NOT_VERSION_4 = 2;
export const IPV4_BAD_HEADER_LENGTH = 3;
export const IPV4_BAD_TOTAL_LENGTH = 4;

/**
 * 0 if the `length` bytes at `at` are exactly one IPv4 packet as far as its lengths go, else one
 * of the constants above. After a 0 every accessor of this file is safe. The header checksum is
 * not looked at.
 */
export function checkIpv4(bytes: Uint8Array, at: number, length: number): number {
  if (length < IPV4_HEADER_MINIMUM) return IPV4_TOO_SHORT;
  if (version(bytes, at) !== 4) return IPV4_NOT_VERSION_4;
  const header = headerLength(bytes, at);
  if (header < IPV4_HEADER_MINIMUM || header > length) return IPV4_BAD_HEADER_LENGTH;
  // Equality covers "at least the header" as well, for the header fits the given length.
  return totalLength(bytes, at) === length ? 0 : IPV4_BAD_TOTAL_LENGTH;
}

/** 4 or 6: the one field that IPv4 and IPv6 have in the same place. */
export function version(bytes: Uint8Array, at: number): number {
  return bytes[at] >>> 4;
}

/** In bytes, options included. */
export function headerLength(bytes: Uint8Array, at: number): number {
  return (bytes[at] & 0x0f) << 2;
}

/** The whole byte: DSCP (RFC 2474) above, ECN (RFC 3168) in the low two bits. */
export function typeOfService(bytes: Uint8Array, at: number): number {
  return bytes[at + IPV4_TYPE_OF_SERVICE_AT];
}

/** Header and payload, in bytes. */
export function totalLength(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + IPV4_TOTAL_LENGTH_AT);
}

export function identification(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + IPV4_IDENTIFICATION_AT);
}

/** Flags and offset in one word. */
export function fragmentField(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + IPV4_FRAGMENT_AT);
}

export function hasDontFragment(bytes: Uint8Array, at: number): boolean {
  return (fragmentField(bytes, at) & IPV4_DONT_FRAGMENT) !== 0;
}

export function hasMoreFragments(bytes: Uint8Array, at: number): boolean {
  return (fragmentField(bytes, at) & IPV4_MORE_FRAGMENTS) !== 0;
}

/** In bytes (the field counts in eights). */
export function fragmentOffset(bytes: Uint8Array, at: number): number {
  return (fragmentField(bytes, at) & IPV4_FRAGMENT_OFFSET_MASK) << 3;
}

export function timeToLive(bytes: Uint8Array, at: number): number {
  return bytes[at + IPV4_TIME_TO_LIVE_AT];
}

export function protocol(bytes: Uint8Array, at: number): number {
  return bytes[at + IPV4_PROTOCOL_AT];
}

export function headerChecksum(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + IPV4_CHECKSUM_AT);
}

/** As an unsigned number in the host's order. */
export function source(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at + IPV4_SOURCE_AT);
}

/** As an unsigned number in the host's order. */
export function destination(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at + IPV4_DESTINATION_AT);
}

/** Whether the header sums to 0xffff. Needs a packet that passed `checkIpv4`. */
export function headerChecksumValid(bytes: Uint8Array, at: number): boolean {
  return fold(sumHeader(bytes, at, headerLength(bytes, at))) === 0xffff;
}

/** The setters leave the checksum as it is; end with `writeHeaderChecksum`. */
export function setTypeOfService(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + IPV4_TYPE_OF_SERVICE_AT] = value;
}

export function setTotalLength(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at + IPV4_TOTAL_LENGTH_AT, value);
}

export function setIdentification(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at + IPV4_IDENTIFICATION_AT, value);
}

export function setHeaderChecksum(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at + IPV4_CHECKSUM_AT, value);
}

/** Computes the header checksum anew, options included. */
export function writeHeaderChecksum(bytes: Uint8Array, at: number): void {
  writeUint16(bytes, at + IPV4_CHECKSUM_AT, 0);
  const sum = sumHeader(bytes, at, headerLength(bytes, at));
  writeUint16(bytes, at + IPV4_CHECKSUM_AT, complement(sum));
}

/**
 * One hop: lowers the time to live and patches the checksum (RFC 1624), keeping a wrong checksum
 * exactly as wrong. False, with the packet untouched, where the hop would bring it to 0 or it
 * is 0 already (RFC 1812 §5.3.1).
 */
export function decrementTimeToLive(bytes: Uint8Array, at: number): boolean {
  if (bytes[at + IPV4_TIME_TO_LIVE_AT] <= 1) return false;
  const oldWord = readUint16(bytes, at + IPV4_TIME_TO_LIVE_AT);
  bytes[at + IPV4_TIME_TO_LIVE_AT]--;
  const patched = patchChecksum(headerChecksum(bytes, at), oldWord, oldWord - 0x100);
  writeUint16(bytes, at + IPV4_CHECKSUM_AT, patched);
  return true;
}

/** What `buildIpv4` writes; addresses in the host's order, lengths in bytes. */
export interface Ipv4Fields {
  typeOfService: number;
  totalLength: number;
  identification: number;
  fragmentField: number;
  timeToLive: number;
  protocol: number;
  source: number;
  destination: number;
}

/** Writes a header without options, checksum included; returns its length. */
export function buildIpv4(bytes: Uint8Array, at: number, fields: Ipv4Fields): number {
  bytes[at + IPV4_VERSION_AT] = 0x45;
  bytes[at + IPV4_TYPE_OF_SERVICE_AT] = fields.typeOfService;
  writeUint16(bytes, at + IPV4_TOTAL_LENGTH_AT, fields.totalLength);
  writeUint16(bytes, at + IPV4_IDENTIFICATION_AT, fields.identification);
  writeUint16(bytes, at + IPV4_FRAGMENT_AT, fields.fragmentField);
  bytes[at + IPV4_TIME_TO_LIVE_AT] = fields.timeToLive;
  bytes[at + IPV4_PROTOCOL_AT] = fields.protocol;
  writeUint32(bytes, at + IPV4_SOURCE_AT, fields.source);
  writeUint32(bytes, at + IPV4_DESTINATION_AT, fields.destination);
  writeHeaderChecksum(bytes, at);
  return IPV4_HEADER_MINIMUM;
}
