import { readUint16, writeUint16 } from './bytes.ts';

/** UDP header (RFC 768). Offsets are from the header's first byte. */
export const UDP_SOURCE_PORT_AT = 0;
export const UDP_DESTINATION_PORT_AT = 2;
export const UDP_LENGTH_AT = 4;
export const UDP_CHECKSUM_AT = 6;

export const UDP_HEADER_LENGTH = 8;

/** What `checkUdp` may find. */
export const UDP_TOO_SHORT = 1;
export const UDP_BAD_LENGTH = 2;

/**
 * 0 if the `length` bytes at `at` are exactly one UDP datagram as far as its length goes, else
 * one of the constants above. After a 0 every accessor of this file is safe.
 */
export function checkUdp(bytes: Uint8Array, at: number, length: number): number {
  if (length < UDP_HEADER_LENGTH) return UDP_TOO_SHORT;
  return udpLength(bytes, at) === length ? 0 : UDP_BAD_LENGTH;
}

export function udpSourcePort(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + UDP_SOURCE_PORT_AT);
}

export function udpDestinationPort(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + UDP_DESTINATION_PORT_AT);
}

/** Header and payload, in bytes. */
export function udpLength(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + UDP_LENGTH_AT);
}

/** 0 means "not computed" over IPv4; a computed 0 travels as 0xffff. */
export function udpChecksum(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + UDP_CHECKSUM_AT);
}

/** The setters leave the checksum as it is. */
export function setUdpLength(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at + UDP_LENGTH_AT, value);
}

/** Writes the value as it is: turning a computed 0 into 0xffff is the caller's part. */
export function setUdpChecksum(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at + UDP_CHECKSUM_AT, value);
}
