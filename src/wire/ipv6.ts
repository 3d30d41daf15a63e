import { readUint16, readUint32, writeUint16, writeUint32 } from './bytes.ts';

/** IPv6 header (RFC 8200 §3). Offsets are from the header's first byte. */
export const IPV6_VERSION_AT = 0;
export const IPV6_PAYLOAD_LENGTH_AT = 4;
export const IPV6_NEXT_HEADER_AT = 6;
export const IPV6_HOP_LIMIT_AT = 7;
export const IPV6_SOURCE_AT = 8;
export const IPV6_DESTINATION_AT = 24;

/** Extension headers come after it and are not part of it. */
export const IPV6_HEADER_LENGTH = 40;
export const IPV6_ADDRESS_LENGTH = 16;

/** What `checkIpv6` may find. */
export const IPV6_TOO_SHORT = 1;
export const IPV6_NOT_VERSION_6 = 2;
export const IPV6_BAD_PAYLOAD_LENGTH = 3;

/**
 * 0 if the `length` bytes at `at` are exactly one IPv6 packet as far as its lengths go, else one
 * of the constants above. After a 0 every accessor of this file is safe. A jumbogram (RFC 2675,
 * payload length 0) does not pass.
 */
export function checkIpv6(bytes: Uint8Array, at: number, length: number): number {
  if (length < IPV6_HEADER_LENGTH) return IPV6_TOO_SHORT;
  if (bytes[at] >>> 4 !== 6) return IPV6_NOT_VERSION_6;
  const whole = IPV6_HEADER_LENGTH + payloadLength(bytes, at);
  return whole === length ? 0 : IPV6_BAD_PAYLOAD_LENGTH;
}

/** The whole byte, DSCP and ECN, as IPv4's type of service. */
export function trafficClass(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 4) | (bytes[at + 1] >>> 4)) & 0xff;
}

/** 20 bits (RFC 6437). */
export function flowLabel(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) & 0xfffff;
}

/** Everything after the 40 bytes, extension headers included, in bytes. */
export function payloadLength(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + IPV6_PAYLOAD_LENGTH_AT);
}

export function nextHeader(bytes: Uint8Array, at: number): number {
  return bytes[at + IPV6_NEXT_HEADER_AT];
}

export function hopLimit(bytes: Uint8Array, at: number): number {
  return bytes[at + IPV6_HOP_LIMIT_AT];
}

export function setPayloadLength(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at + IPV6_PAYLOAD_LENGTH_AT, value);
}

export function setTrafficClass(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = 0x60 | (value >>> 4);
  bytes[at + 1] = ((value << 4) & 0xf0) | (bytes[at + 1] & 0x0f);
}

/**
 * One hop. False, with the packet untouched, where the hop would bring the limit to 0 or it is 0
 * already (RFC 8200 §3). The header has no checksum to patch.
 */
export function decrementHopLimit(bytes: Uint8Array, at: number): boolean {
  if (bytes[at + IPV6_HOP_LIMIT_AT] <= 1) return false;
  bytes[at + IPV6_HOP_LIMIT_AT]--;
  return true;
}

/** What `buildIpv6` writes; addresses as 16 bytes. */
export interface Ipv6Fields {
  trafficClass: number;
  flowLabel: number;
  payloadLength: number;
  nextHeader: number;
  hopLimit: number;
  source: Uint8Array;
  destination: Uint8Array;
}

/** Writes a header; returns its length. */
export function buildIpv6(bytes: Uint8Array, at: number, fields: Ipv6Fields): number {
  writeUint32(bytes, at, (6 << 28) | (fields.trafficClass << 20) | (fields.flowLabel & 0xfffff));
  writeUint16(bytes, at + IPV6_PAYLOAD_LENGTH_AT, fields.payloadLength);
  bytes[at + IPV6_NEXT_HEADER_AT] = fields.nextHeader;
  bytes[at + IPV6_HOP_LIMIT_AT] = fields.hopLimit;
  bytes.set(fields.source, at + IPV6_SOURCE_AT);
  bytes.set(fields.destination, at + IPV6_DESTINATION_AT);
  return IPV6_HEADER_LENGTH;
}
