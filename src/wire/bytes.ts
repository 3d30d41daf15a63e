import { assert } from '../assert.ts';

/**
 * Reads and writes at a byte offset. Big-endian is the network's order (RFC 791 appendix B) and
 * has the plain names; host order serves kernel structs and is named apart. Callers have checked
 * the length: an offset past the end is a mistake these functions do not look for.
 */

// Host-order accessors below are written little-endian by hand, so that they need no alignment;
// every platform weft runs on (x86-64, arm64) is little-endian.
assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, 'host is not little-endian');

/** 16 bits, big-endian. */
export function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

/** 32 bits, big-endian, never negative. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

/** 16 bits, big-endian; higher bits of `value` are dropped. */
export function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** 32 bits, big-endian; signed and unsigned values write the same bytes. */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** 16 bits in the host's order, as kernel structs hold them. */
export function readHost16(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}

/** 32 bits in the host's order, never negative. */
export function readHost32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

/** 16 bits in the host's order; higher bits of `value` are dropped. */
export function writeHost16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

/** 32 bits in the host's order; signed and unsigned values write the same bytes. */
export function writeHost32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
