import { readFileSync } from 'node:fs';
import { readUint16 } from './bytes.ts';

/**
 * The Internet checksum (RFC 1071) in its parts. A *sum* is a one's-complement sum of big-endian
 * words; it is *folded* when it fits 16 bits; a *checksum* is the complement of a folded sum and
 * is what a header carries. Sums add up as plain numbers and are folded once at the end: folding
 * is right for any sum below 2^32, which is 65,537 words of 0xffff.
 */

/**
 * Sum of `length` bytes at `at` of the memory it was loaded for: any alignment, an odd last byte
 * padded on the right with zero, folded, not complemented.
 */
export type Sum = (at: number, length: number) => number;

// A module is compiled once a thread; instances differ only in the memory they see.
let compiled: WebAssembly.Module | undefined;

/**
 * Binds the SIMD sum to a memory, which may be of any size but must not be shared. Reads
 * sum.wasm from beside this file, where the build puts it; throws if it is not there.
 */
export function loadSum(memory: WebAssembly.Memory): Sum {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./sum.wasm', import.meta.url)));
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  return instance.exports.sum as Sum;
}

/**
 * Sum of a short region by plain reads, unfolded. Below about 60 bytes it costs no more than the
 * SIMD sum, and it works on any bytes, not only on a worker's memory. At most 128 KiB.
 */
export function sumHeader(bytes: Uint8Array, at: number, length: number): number {
  const end = at + length;
  let sum = 0;
  for (; at + 1 < end; at += 2) sum += (bytes[at] << 8) | bytes[at + 1];
  if (at < end) sum += bytes[at] << 8;
  return sum;
}

/** A sum below 2^32 brought to 16 bits by adding the carries back in. */
export function fold(sum: number): number {
  // The first line leaves at most 0x1fffe, so the second leaves at most 0xffff.
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** The checksum that makes a header with this sum come out right. */
export function complement(sum: number): number {
  return ~fold(sum) & 0xffff;
}

/** Two sums joined, folded. The second must begin at an even distance from the first. */
export function addSum(a: number, b: number): number {
  return fold(fold(a) + fold(b));
}

/**
 * Sum of the pseudo-header for TCP and UDP over IPv4 (RFC 9293 §3.1, RFC 768), unfolded. `at` is
 * the IPv4 header, `length` that of the transport header with its payload.
 */
export function pseudoHeaderSum4(
  bytes: Uint8Array,
  at: number,
  protocol: number,
  length: number,
): number {
  return (
    readUint16(bytes, at + 12) +
    readUint16(bytes, at + 14) +
    readUint16(bytes, at + 16) +
    readUint16(bytes, at + 18) +
    protocol +
    length
  );
}

/** The same for IPv6 (RFC 8200 §8.1), unfolded. `at` is the IPv6 header. */
export function pseudoHeaderSum6(
  bytes: Uint8Array,
  at: number,
  nextHeader: number,
  length: number,
): number {
  return sumHeader(bytes, at + 8, 32) + (length >>> 16) + (length & 0xffff) + nextHeader;
}

/**
 * Whether the TCP or UDP checksum of the IPv4 packet of `length` bytes at `at`, whose header has no
 * options, is right.
 */
export function transportChecksumValid4(
  bytes: Uint8Array,
  sum: Sum,
  at: number,
  length: number,
): boolean {
  const body = length - 20;
  return fold(pseudoHeaderSum4(bytes, at, bytes[at + 9], body) + sum(at + 20, body)) === 0xffff;
}

/**
 * The checksum after one 16-bit word it covers has changed (RFC 1624 equation 3, which unlike
 * RFC 1141 never turns a checksum of 0x0000 into 0xffff).
 */
export function patchChecksum(checksum: number, oldWord: number, newWord: number): number {
  return complement((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord);
}
