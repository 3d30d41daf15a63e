import { readUint16, readUint32, writeUint16, writeUint32 } from './bytes.ts';

/** TCP header (RFC 9293 §3.1). Offsets are from the header's first byte. */
export const TCP_SOURCE_PORT_AT = 0;
export const TCP_DESTINATION_PORT_AT = 2;
export const TCP_SEQUENCE_AT = 4;
export const TCP_ACKNOWLEDGEMENT_AT = 8;
export const TCP_DATA_OFFSET_AT = 12;
export const TCP_FLAGS_AT = 13;
export const TCP_WINDOW_AT = 14;
export const TCP_CHECKSUM_AT = 16;
export const TCP_URGENT_POINTER_AT = 18;

export const TCP_HEADER_MINIMUM = 20;
export const TCP_HEADER_MAXIMUM = 60;

/** Bits of the flags byte (RFC 9293 §3.1; ECE and CWR from RFC 3168 §6.1). */
export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

/** What `checkTcp` may find. */
export const TCP_TOO_SHORT = 1;
export const TCP_BAD_DATA_OFFSET = 2;

/**
 * 0 if the `length` bytes at `at` begin with a whole TCP header, else one of the constants above.
 * After a 0 every accessor of this file is safe.
 */
export function checkTcp(bytes: Uint8Array, at: number, length: number): number {
  if (length < TCP_HEADER_MINIMUM) return TCP_TOO_SHORT;
  const header = dataOffset(bytes, at);
  return header < TCP_HEADER_MINIMUM || header > length ? TCP_BAD_DATA_OFFSET : 0;
}

export function tcpSourcePort(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + TCP_SOURCE_PORT_AT);
}

export function tcpDestinationPort(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + TCP_DESTINATION_PORT_AT);
}

export function tcpSequence(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at + TCP_SEQUENCE_AT);
}

export function tcpAcknowledgement(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at + TCP_ACKNOWLEDGEMENT_AT);
}

/** Length of the header with its options, in bytes (the field counts in fours). */
export function dataOffset(bytes: Uint8Array, at: number): number {
  return (bytes[at + TCP_DATA_OFFSET_AT] >>> 4) << 2;
}

export function tcpFlags(bytes: Uint8Array, at: number): number {
  return bytes[at + TCP_FLAGS_AT];
}

/** As on the wire, before any window scale. */
export function tcpWindow(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + TCP_WINDOW_AT);
}

export function tcpChecksum(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + TCP_CHECKSUM_AT);
}

export function tcpUrgentPointer(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + TCP_URGENT_POINTER_AT);
}

/** The setters leave the checksum as it is. */
export function setTcpSequence(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at + TCP_SEQUENCE_AT, value);
}

export function setTcpFlags(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + TCP_FLAGS_AT] = value;
}

export function setTcpChecksum(bytes: Uint8Array, at: number, value: number): void {
  writeUint16(bytes, at + TCP_CHECKSUM_AT, value);
}
